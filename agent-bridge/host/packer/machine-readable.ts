/**
 * Packer's machine-readable output: `1795402391,null.x,error,text`, a line an event. In a field a comma is
 * `%!(PACKER_COMMA)` and line ends are `\n` and `\r`.
 */
export interface PackerEvent {
  /** Name of the build that it is about; empty when it is about none. */
  target: string;
  /** `ui`, `error`, `error-count`, `artifact`, `version` and others. */
  type: string;
  data: readonly string[];
}

/** undefined for what is not in this form: a crash of Packer, or words of the system. */
export function packerEvent(line: string): PackerEvent | undefined {
  const [time = '', target, type, ...data] = line.split(',');
  if (!/^\d+$/.test(time) || target === undefined || type === undefined || type === '') return undefined;
  return { target: plain(target), type, data: data.map(plain) };
}

/** A field as it was before Packer wrote it down; a text that looks like its escapes comes out as another. */
export function plain(field: string): string {
  return field.replaceAll('%!(PACKER_COMMA)', ',').replaceAll('\\n', '\n').replaceAll('\\r', '\r');
}

/** A guest can print without ever ending its line; of each this much is read. */
export const LINE_LIMIT_BYTES = 64 * 1024;

export interface Lines {
  push(chunk: Uint8Array): void;
  /** What stands without a line end. */
  end(): void;
}

/** Calls `take` for each line, cut at the limit, without its line end. */
export function lines(take: (line: string) => void): Lines {
  let held: Buffer[] = [];
  let size = 0;
  const flush = () => {
    const text = Buffer.concat(held).toString('utf8');
    held = [];
    size = 0;
    take(text.endsWith('\r') ? text.slice(0, -1) : text);
  };
  return {
    push(chunk) {
      let rest = Buffer.from(chunk);
      while (rest.length > 0) {
        const at = rest.indexOf(0x0a);
        const part = rest.subarray(0, Math.min(at === -1 ? rest.length : at, LINE_LIMIT_BYTES - size));
        if (part.length > 0) held.push(part);
        size += part.length;
        if (at === -1) return;
        flush();
        rest = rest.subarray(at + 1);
      }
    },
    end() {
      if (size > 0) flush();
    },
  };
}

/** Text of a guest: nothing in it may steer the terminal or the log that it ends up in. */
export const printable = (text: string): string =>
  text
    .replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
