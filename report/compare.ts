/**
 * Before and after, side by side: what left is struck out, what is new is marked, each in words too.
 */
import type { WorldSnapshot } from '../cycle/record.ts';
import { html } from './html.ts';
import type { Html, Part } from './html.ts';

type Side = 'before' | 'after';

export function compare(before: WorldSnapshot, after: WorldSnapshot): Html {
  return html`<div class="sides">${side('before', before, after)}${side('after', after, before)}</div>`;
}

function side(which: Side, here: WorldSnapshot, there: WorldSnapshot): Html {
  const title = which === 'before' ? 'Before' : 'After';
  const nodesThere = new Set(there.nodes.map((node) => node.name));
  const membersThere = new Set(there.etcd.map((member) => member.name));
  const setOf = (values: readonly string[] | undefined): Set<string> => new Set(values ?? []);
  return html`<section aria-label="${title}">
    <h3>${title}</h3>
    ${table(
      'Nodes',
      ['node', 'roles', 'age', 'image', 'ready'],
      here.nodes.map((node) => ({
        changed: !nodesThere.has(node.name),
        cells: [
          marked(which, node.name, nodesThere),
          node.roles.join(', '),
          html`<span class="nowrap">${days(node.ageDays)}</span>`,
          node.image,
          node.ready ? 'yes' : html`<strong class="bad">no</strong>`,
        ],
      })),
      which,
    )}
    ${table(
      'etcd members',
      ['member', 'healthy', 'leader'],
      here.etcd.map((member) => ({
        changed: !membersThere.has(member.name),
        cells: [
          marked(which, member.name, membersThere),
          member.healthy ? 'yes' : html`<strong class="bad">no</strong>`,
          member.leader ? 'leader' : '',
        ],
      })),
      which,
    )}
    ${table(
      'DNS',
      ['alias', 'members'],
      here.dns.map((alias) => {
        const other = setOf(there.dns.find((one) => one.alias === alias.alias)?.members);
        return { changed: false, cells: [alias.alias, list(which, alias.members, other)] };
      }),
      which,
    )}
    ${table(
      'Load balancer',
      ['proxy', 'upstream', 'servers'],
      here.upstreams.map((upstream) => {
        const other = there.upstreams.find(
          (one) => one.proxy === upstream.proxy && one.upstream === upstream.upstream,
        );
        return {
          changed: false,
          cells: [upstream.proxy, upstream.upstream, list(which, upstream.servers, setOf(other?.servers))],
        };
      }),
      which,
    )}
    ${table('Ingress', ['addresses'], [{ changed: false, cells: [list(which, here.ingress, setOf(there.ingress))] }], which)}
  </section>`;
}

interface Row {
  changed: boolean;
  cells: Part[];
}

function table(
  caption: string,
  heads: readonly string[],
  rows: readonly Row[],
  which: Side,
): Html | undefined {
  if (rows.length === 0) return undefined;
  const change = which === 'before' ? 'gone' : 'new';
  return html`<table>
    <caption>
      ${caption}
    </caption>
    <thead>
      <tr>
        ${heads.map((head) => html`<th scope="col">${head}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        (row) =>
          html`<tr class="${row.changed ? change : ''}">
            ${row.cells.map((cell) => html`<td>${cell}</td>`)}
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function list(which: Side, values: readonly string[], there: ReadonlySet<string>): Html {
  if (values.length === 0) return html`<em>empty</em>`;
  return html`<ul class="values">
    ${values.map((value) => html`<li>${marked(which, value, there)}</li>`)}
  </ul>`;
}

/** A value that the other side does not have. `del` and `ins` are told by screen readers. */
function marked(which: Side, value: string, there: ReadonlySet<string>): Part {
  if (there.has(value)) return value;
  return which === 'before'
    ? html`<del>${value}</del> <span class="tag">leaves</span>`
    : html`<ins>${value}</ins> <span class="tag">new</span>`;
}

function days(ageDays: number): string {
  if (ageDays < 1) return 'under 1 day';
  const whole = Math.floor(ageDays);
  return whole === 1 ? '1 day' : `${whole} days`;
}
