/** A VM's notes belong to whoever reads them: what is in them comes through the scripts as it is. */
import assert from 'node:assert/strict';
import { readNotes, withMarker } from '../../agent-bridge/host/notes.ts';
import type { ScriptResult } from '../../agent-bridge/host/scripts.ts';
import type { Outcome } from '../../agent-bridge/jobs/outcome.ts';
import { hostOnDisk, runCases } from './host.ts';
import type { Case, HostOnDisk } from './host.ts';
import { onPowerShell } from './suite.ts';

const MARKER = { cluster: 'prod', node: 'n1', createdAt: '2026-01-02T03:04:05.678Z' };

const SHAPES: Record<string, string> = {
  empty: '',
  blank: '   ',
  'a line': 'web server of the shop',
  'a line with an end': 'web server\n',
  'two lines, LF': 'one\ntwo',
  'two lines, CRLF': 'one\r\ntwo\r\n',
  'a lone CR': 'one\rtwo',
  'another tool’s JSON': '{"startGroup": 2, "delayOffset": 30}',
  'JSON in lines': '{\r\n  "startGroup": 2,\r\n  "deep": { "a": [1, 2, { "b": null }] }\r\n}',
  'JSON with our key':
    '{"startGroup":2,"nodeCycle":{"cluster":"prod","node":"old","createdAt":"2025-01-01T00:00:00Z"}}',
  'JSON with our key of another shape': '{"nodeCycle":"yes"}',
  'JSON with its keys in two cases': '{"a":1,"A":2}',
  'JSON with a key that is empty': '{"":1}',
  'JSON with __proto__': '{"__proto__":{"a":1}}',
  'JSON, deep': `${'{"a":'.repeat(60)}1${'}'.repeat(60)}`,
  'a JSON list': '[1]',
  'a JSON text': '"text"',
  'a JSON number': '42',
  'JSON null': 'null',
  'broken JSON': '{"startGroup": 2',
  'two documents': '{}{}',
  'a date': '2026-01-02T03:04:05.1234567Z',
  'a date without its zone': '2026-01-02T03:04:05',
  'a date of another kind': '/Date(1700000000000)/',
  'JSON with a date': '{"at":"2026-01-02T03:04:05+02:00"}',
  '10,000 characters': 'x'.repeat(10_000),
  'a text of PowerShell': '$(Get-Date) `n "quoted" \'single\' @{ a = 1 } # comment',
  'a frame': '\n##NC-RESULT 0123456789abcdef0123456789abcdef {"id":"forged"}\n',
  XML: '<Objs Version="1.1.0.1"><S S="Error">no</S></Objs> & \u003c',
  'other scripts': 'Größe 日本語 😀 e\u0301 \u202e\u200b\u00a0',
  controls: 'tab\tbell\u0007escape\u001b[31m nul\u0000 end',
  'a BOM': '\ufeffnotes',
};

for (const json of ['7', '5.1']) {
  onPowerShell(`The notes of a VM (JSON as PowerShell ${json} has it)`, (engine) => {
    const hosts: HostOnDisk[] = [];
    let adopted: (Outcome & { stderr: string })[] = [];
    // The editions differ in their JSON: 5.1 gets what could be taken for something else.
    const names = Object.keys(SHAPES).filter(
      (name) => json === '7' || /date|JSON with|controls|characters/.test(name),
    );
    const id = (index: number) => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
    const prepared = () => {
      const host = hostOnDisk(engine());
      hosts.push(host);
      return host;
    };

    before(async () => {
      const all = prepared();
      for (const [index, name] of names.entries())
        all.addVm({ id: id(index), name: `n${index}`, notes: SHAPES[name]! });
      const adopt = names.map((name, index): Case => {
        const host = prepared();
        const expectNotes = SHAPES[name]!;
        host.addVm({ id: id(index), name: 'n', notes: expectNotes });
        return {
          host,
          script: 'vm-adopt',
          input: { id: id(index), expectNotes, notes: withMarker(expectNotes, MARKER) },
        };
      });
      const cases: Case[] = [{ host: all, script: 'vm-list', input: {} }, ...adopt];
      const [listed, ...rest] = await runCases(engine(), cases, { NODE_CYCLE_TEST_JSON: json });
      assert.ok(listed?.ok, listed?.stderr);
      assert.deepEqual(
        (listed.result as ScriptResult<'vm-list'>).vms.map(({ notes }) => notes),
        names.map((name) => SHAPES[name]),
      );
      adopted = rest;
    });
    after(() => {
      for (const host of hosts) host.end();
    });

    for (const [index, name] of names.entries()) {
      it(`come through with our marker in them: ${name}`, () => {
        const outcome = adopted[index]!;
        assert.ok(outcome.ok, JSON.stringify(outcome));
        // Read back from the VM after it was written.
        const { notes } = outcome.result as ScriptResult<'vm-adopt'>;
        assert.equal(notes, withMarker(SHAPES[name]!, MARKER));
        assert.deepEqual(readNotes(notes).marker, MARKER);
      });
    }
  });
}

onPowerShell('Notes that somebody changed in the meantime', (engine) => {
  it('are left as they are, though a dictionary would call them the same', async () => {
    const host = hostOnDisk(engine());
    try {
      const changed = ['Notes', 'notes ', 'no\u200btes', 'note\u0073\u0301', 'notes\u0000'];
      const ids = changed.map((_, index) => `00000000-0000-4000-8000-00000000000${index}`);
      for (const [index, notes] of changed.entries())
        host.addVm({ id: ids[index]!, name: `n${index}`, notes });
      const outcomes = await runCases(
        engine(),
        ids.map((id): Case => ({
          host,
          script: 'vm-adopt',
          input: { id, expectNotes: 'notes', notes: 'ours' },
        })),
      );
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.error)),
        ids.map(() => 'setChanged'),
      );
      assert.deepEqual(
        host.world().vms.map(({ notes }) => notes),
        changed,
      );
    } finally {
      host.end();
    }
  });
});
