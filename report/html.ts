/**
 * HTML from templates in which every value is escaped, unless it is HTML of this kind already.
 */

export interface Html {
  readonly html: string;
}

export type Part = Html | string | number | undefined | readonly Part[];

export function html(texts: TemplateStringsArray, ...values: Part[]): Html {
  return {
    html: texts.map((text, index) => text + (index < values.length ? inner(values[index]) : '')).join(''),
  };
}

function inner(value: Part): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return escape(value);
  if (typeof value === 'number') return String(value);
  if ('html' in value) return value.html;
  return value.map(inner).join('');
}

/** For text and for quoted attributes. Control characters are no HTML and are shown as such. */
export function escape(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;')

    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd');
}
