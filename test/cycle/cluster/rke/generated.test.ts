import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { addNode, dropRole, removeNode, restoreRole } from '../../../../cycle/cluster/rke/cluster-yml.ts';
import type { Edit, RkeRole } from '../../../../cycle/cluster/rke/cluster-yml.ts';
import { generateYml } from './generated-yml.ts';
import type { GeneratedNode, GeneratedYml } from './generated-yml.ts';

const FILES = 200;
const files = Array.from({ length: FILES }, (_, i) => generateYml(1000 + i));

interface Plain {
  nodes: { address: string; role: string[] }[];
}
const read = (text: string) => parse(text, { merge: true }) as Plain;
const linesOf = (text: string) => text.split('\n');

/** The edited text; undefined where it was refused, which only what several entries share is a reason for. */
function edited(file: GeneratedYml, edit: Edit, mayRefuse: boolean, what: string): string | undefined {
  if (edit.ok) {
    assert.ok(edit.changed, what);
    return edit.text;
  }
  assert.ok(mayRefuse && edit.problem === 'unsafe', `${what}: ${edit.problem} ${edit.message}\n${file.text}`);
  assert.ok(edit.message.length > 20, 'a refusal says why');
  return undefined;
}

/** How many lines two texts have in common at their start and, of the rest, at their end. */
function common(before: string[], after: string[]): { start: number; end: number } {
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < most - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  return { start, end };
}

/** What was put in, in one piece, with every other byte as it was. */
function inserted(before: string, after: string): string {
  let start = 0;
  while (start < before.length && before[start] === after[start]) start += 1;
  const length = after.length - before.length;
  assert.ok(length > 0 && before.slice(start) === after.slice(start + length), 'only an insertion');
  return after.slice(start, start + length);
}

const shown = (file: GeneratedYml, node: GeneratedNode | undefined, after: string) =>
  `${node?.name ?? ''}\n--- before\n${file.text}\n--- after\n${after}`;

describe(`an edit of ${FILES} generated files of cluster.yml`, function () {
  this.timeout(60_000);
  it('meets every layout: anchors, merge keys, flow and block, CRLF, tabs, no line end at the end', () => {
    const texts = files.map(({ text }) => text);
    for (const layout of [
      /&servers/,
      /role: \*servers/,
      /<<: \*defaults/,
      /nodes: \[/,
      /\r\n/,
      /\t/,
      /[^\n]$/,
      /^ *- +\{/m,
      /^---/,
    ])
      assert.ok(texts.filter((text) => layout.test(text)).length >= 5, String(layout));
    for (const { text, nodes } of files)
      assert.deepEqual(
        read(text).nodes.map(({ address, role }) => [address, role]),
        nodes.map(({ address, roles }) => [address, roles]),
      );
  });

  it('that drops a role changes the lines of that list and no other byte', () => {
    let done = 0;
    let refused = 0;
    for (const file of files)
      for (const node of file.nodes.filter(({ roles }) => roles.length > 1))
        for (const role of node.roles) {
          const after = edited(
            file,
            dropRole(file.text, node.address, role as RkeRole),
            node.shared,
            node.name,
          );
          if (after === undefined) {
            refused += 1;
            continue;
          }
          done += 1;
          const kept = node.roles.filter((one) => one !== role);
          const plain = read(file.text);
          const want = plain.nodes.map((one) =>
            one.address === node.address ? { ...one, role: kept } : one,
          );
          assert.deepEqual(read(after), { ...plain, nodes: want }, shown(file, node, after));
          const before = linesOf(file.text);
          const { start, end } = common(before, linesOf(after));
          assert.ok(start >= node.roleFrom && before.length - end <= node.roleTo, shown(file, node, after));
          assert.ok(file.text.length - after.length < role.length + 60, shown(file, node, after));
        }
    assert.ok(done > 1_000 && refused < done / 20, `${done} done, ${refused} refused`);
  });

  it('that drops a role and gives it back reads as before, wherever the list is in rke’s order', () => {
    for (const file of files)
      for (const node of file.nodes.filter(({ roles, shared }) => roles.length === 3 && !shared)) {
        const dropped = dropRole(file.text, node.address, 'etcd');
        assert.ok(dropped.ok);
        const back = restoreRole(dropped.text, node.address, 'etcd');
        assert.ok(back.ok, JSON.stringify(back));
        const roles = (text: string) => read(text).nodes.map(({ role }) => [...role].sort());
        assert.deepEqual(roles(back.text), roles(file.text), shown(file, node, back.text));
        const { start, end } = common(linesOf(file.text), linesOf(back.text));
        const within = start >= node.roleFrom && linesOf(file.text).length - end <= node.roleTo;
        assert.ok(back.text === file.text || within, shown(file, node, back.text));
      }
  });

  it('that removes a node takes its lines out, with comments and blank lines beside it at most', () => {
    let done = 0;
    let refused = 0;
    for (const file of files)
      for (const node of file.nodes) {
        const after = edited(file, removeNode(file.text, node.address), node.shared, node.name);
        if (after === undefined) {
          refused += 1;
          continue;
        }
        done += 1;
        const plain = read(file.text);
        const want = plain.nodes.filter(({ address }) => address !== node.address);
        assert.deepEqual(read(after), { ...plain, nodes: want }, shown(file, node, after));
        const before = linesOf(file.text);
        const left = linesOf(after);
        const { start, end } = common(before, left);
        if (file.flow) {
          // The comma before it goes too, when it is the last.
          assert.ok(start >= node.from - 1 && before.length - end <= node.to, shown(file, node, after));
          continue;
        }
        assert.ok(isWithout(before, left, node), shown(file, node, after));
      }
    assert.ok(done > 600 && refused < done / 10, `${done} done, ${refused} refused`);
  });

  it('that adds a node like each of those that are there only inserts, right behind the last entry', () => {
    let done = 0;
    for (const file of files)
      for (const [n, like] of file.nodes.entries()) {
        const text = linesOf(file.text).slice(like.from, like.to).join('\n');
        const inner = text.includes('internal_address') ? { internalAddress: '172.16.9.9' } : {};
        const edit = addNode(file.text, like.address, {
          address: '10.0.9.9',
          hostnameOverride: 'home-n9',
          ...inner,
        });
        const after = edited(file, edit, false, `${like.name} of ${file.nodes.length}\n${file.text}`);
        assert.ok(after !== undefined);
        done += 1;
        const plain = read(file.text);
        const found = read(after);
        assert.deepEqual(found.nodes.slice(0, -1), plain.nodes, shown(file, like, after));
        assert.deepEqual(
          found.nodes.at(-1),
          { ...plain.nodes[n], address: '10.0.9.9', hostname_override: 'home-n9', ...internal(inner) },
          shown(file, like, after),
        );
        assert.deepEqual({ ...found, nodes: [] }, { ...plain, nodes: [] });
        const piece = inserted(file.text, after);
        const { start } = common(linesOf(file.text), linesOf(after));
        const last = file.nodes.at(-1)?.to ?? 0;
        // A blank line in front of it may be one that was there.
        assert.ok(start >= last - 1 && start <= last + 1, `${start}, ${last}: ${shown(file, like, after)}`);
        if (text.includes('<<: *defaults')) assert.match(piece, /<<: \*defaults/, shown(file, like, after));
        if (file.text.includes('\r\n')) assert.doesNotMatch(piece, /[^\r]\n/, 'the line ends of the file');
        else assert.doesNotMatch(piece, /\r/);
        const again = addNode(after, like.address, {
          address: '10.0.9.9',
          hostnameOverride: 'home-n9',
          ...inner,
        });
        assert.ok(again.ok && !again.changed, 'once');
      }
    assert.ok(done > 600);
  });
});

/** Whether `left` is `before` without one piece: the node's lines, and comments and blank lines right beside it. */
function isWithout(before: string[], left: string[], { from, to }: GeneratedNode): boolean {
  const count = before.length - left.length;
  // Where the file has no line end at its end, the line before the last entry keeps its own.
  const kept = left.at(-1) === '' && before.at(-1) !== '' ? left.slice(0, -1) : left;
  const gone = count + left.length - kept.length;
  for (let start = Math.max(0, to - gone); start <= from; start += 1) {
    const beside = [...before.slice(start, from), ...before.slice(to, start + gone)];
    if (!beside.every((line) => /^\s*(#[^\n]*)?$/.test(line)) || beside.length > 3) continue;
    if (isDeepStrictEqual([...before.slice(0, start), ...before.slice(start + gone)], kept)) return true;
  }
  return false;
}

function internal(inner: { internalAddress?: string }): Record<string, string> {
  return inner.internalAddress === undefined ? {} : { internal_address: inner.internalAddress };
}
