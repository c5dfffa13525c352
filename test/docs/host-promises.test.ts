/** docs/host-promises.md against the scripts, the checks of doctor and itself. */
import assert from 'node:assert/strict';
import { CHECKS } from '../../agent-bridge/service/doctor/checks.ts';
import { WINDOWS_CHECKS } from '../../agent-bridge/service/doctor/windows.ts';
import { WRITER } from '../../agent-bridge/service/event-log.ts';
import { PROBE } from '../../agent-bridge/service/doctor/windows-probe.ts';
import { filesBelow, textOf } from '../repository/tree.ts';

const PAGE = 'docs/host-promises.md';
const STATES = ['run here', 'engine', 'not run'];
/** `Verb-Noun`, our own functions left out. */
const CMDLET = /(?<![\w$'"-])([A-Z][a-z]+(?:[A-Z][a-z]+)?)-(?!Nc[A-Z])([A-Z][A-Za-z]+)\b/g;

function code(text: string): string {
  return text
    .replace(/<#[\s\S]*?#>/g, '')
    .replace(/(^|\s)#.*$/gm, '')
    .replace(/'[^'\n]*'/g, "''");
}

function rows(heading: string): string[][] {
  const chapter =
    textOf(PAGE)
      .split(/^## /m)
      .find((one) => one.startsWith(`${heading}\n`)) ?? '';
  return chapter
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .slice(1)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

describe(PAGE, () => {
  it('has every cmdlet that is used, with module, Windows Server version and right, and no other', () => {
    const scripts = ['agent-bridge/host/scripts', 'agent-bridge/install']
      .flatMap((folder) => filesBelow(folder))
      .filter((path) => path.endsWith('.ps1'))
      .map((path) => textOf(path));
    const used = new Map<string, string | undefined>();
    for (const text of [...scripts, PROBE, WRITER]) {
      const plain = code(text);
      for (const [whole, verb = '', noun = ''] of plain.matchAll(CMDLET)) {
        if (new RegExp(`function ${whole}\\b`).test(plain)) continue;
        const name = `${verb}-${noun}`;
        const [, module] = new RegExp(`([A-Za-z.-]+)\\\\${name}\\b`).exec(plain) ?? [];
        used.set(name, module ?? used.get(name));
      }
    }
    const table = rows('Cmdlets');
    assert.ok(used.size > 50 && table.length > 50);
    assert.deepEqual(table.map(([name = '']) => name.replaceAll('`', '')).sort(), [...used.keys()].sort());
    for (const [cell = '', module, since, right = ''] of table) {
      assert.equal(module, used.get(cell.replaceAll('`', '')) ?? 'core', cell);
      assert.equal(since, '2016', cell);
      assert.ok(right.length > 3, cell);
    }
  });

  it('has for each promise that was not run a check of doctor or a step of the checklist', () => {
    const promises = rows('Promises');
    const steps = [...textOf(PAGE).matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    const checks = new Set([...CHECKS, ...WINDOWS_CHECKS].map(({ name }) => name));
    const named = new Set<number>();
    assert.ok(promises.length > 15);
    for (const [promise = '', state = '', how = ''] of promises) {
      assert.ok(STATES.includes(state), `${promise}: ${state}`);
      const ways = how.split(', ');
      for (const way of ways) {
        const [, check] = /^doctor: (\w+)$/.exec(way) ?? [];
        if (check !== undefined) assert.ok(checks.has(check), `${promise}: doctor has no check ${check}`);
        const [, step] = /^checklist (\d+)$/.exec(way) ?? [];
        if (step !== undefined) assert.ok(steps.includes(Number(step)), `${promise}: no step ${step}`);
        if (step !== undefined) named.add(Number(step));
      }
      if (state === 'not run')
        assert.match(how, /^(doctor: \w+|checklist \d+)(, (doctor: \w+|checklist \d+))*$/, promise);
    }
    assert.deepEqual(
      steps,
      steps.map((_, at) => at + 1),
    );
    assert.ok(named.size >= 9, 'most steps prove a promise');
  });

  it('claims nothing of Windows as run here', () => {
    for (const [promise = '', state] of rows('Promises'))
      if (
        /Hyper-V|Windows|NTFS|ACL|firewall|service starts|gMSA|Event Log/.test(promise) &&
        !/^No value|cmdlets and parameters/.test(promise)
      )
        assert.equal(state, 'not run', promise);
  });
});
