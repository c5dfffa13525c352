import assert from 'node:assert/strict';
import { judgeRun, parseLine } from '../../../../cycle/cluster/rke/log.ts';
import type { FailureCause, RunExpectation } from '../../../../cycle/cluster/rke/log.ts';
import { ownCorpus, realLogs } from './corpus.ts';

/** What a script concludes that trusts rke. */
const naive = (run: { lines: readonly string[]; exit: number | null }) =>
  run.exit === 0 &&
  run.lines.some((line) => line.includes('Finished building Kubernetes cluster successfully'));

describe('the logs of rke in the corpus', () => {
  const cases = ownCorpus();

  for (const one of cases) {
    it(`${one.name}: ${one.outcome}${one.cause === undefined ? '' : ` (${one.cause})`}`, () => {
      const run = { lines: one.lines, exitCode: one.exit, signal: one.signal ?? null };
      const found = judgeRun(run, one.expectation);
      assert.equal(found.outcome, one.outcome, JSON.stringify(found));
      if (found.outcome === 'failed') {
        assert.equal(found.cause, one.cause);
        if (one.hosts !== undefined) assert.deepEqual([...found.hosts].sort(), [...one.hosts].sort());
      } else if (found.outcome === 'falseSuccess')
        assert.deepEqual([...found.kinds].sort(), [...(one.kinds ?? [])].sort(), JSON.stringify(found));
      else assert.equal(found.notes.length, one.notes ?? 0);
    });
  }

  it('hold every false success but those that only text which is broken shows', () => {
    const kinds = new Set(cases.flatMap((one) => one.kinds ?? []));
    assert.deepEqual([...kinds].sort(), [
      'additionNotSeen',
      'addonFailed',
      'failureInLog',
      'hostSkipped',
      'memberRemovalMasked',
      'memberRemovalNotSeen',
      'newlyGenerated',
      'noSuccessLine',
      'reconcileWarning',
      'removalNotSeen',
      'removedHostUnreachable',
    ]);
    const believed = cases.filter((one) => one.outcome === 'falseSuccess' && naive(one));
    assert.ok(believed.length >= 7, 'the naive check believes them');
  });
});

/** What each run of the real program came to; those that are no `rke up` are not judged. */
const REAL: Record<string, { cause?: FailureCause; expectation?: Partial<RunExpectation> }> = {
  '21-badyaml': { cause: 'config' },
  '22-unknownrole': { cause: 'config' },
  '23-emptyrole': { cause: 'config' },
  '27-dupaddr': { cause: 'config' },
  '28-nouser': { cause: 'config' },
  '29-badkeypath': { cause: 'ssh' },
  '30-encpem': { cause: 'ssh' },
  '31-garbagekey': { cause: 'ssh' },
  '32-unauth': { cause: 'ssh' },
  '33-refused': { cause: 'ssh' },
  '33c-nohost': { cause: 'ssh' },
  '34-nodocker': { cause: 'ssh' },
  '35-badversion': { cause: 'config' },
  '36-badplugin': { cause: 'config' },
  '37-unsupported': { cause: 'runtimeVersion' },
  '53-single-full': { expectation: { existingCluster: false } },
  '54-idempotent': {},
  '55-addworker': { expectation: { added: ['10.77.0.12'] } },
  '56-add-etcd-cp': { expectation: { added: ['10.77.0.13', '10.77.0.14'] } },
  '57-addrole-etcd': {},
  '60-readd': {},
  '61-remove-down-direct': {
    expectation: { removed: ['10.77.0.12'], membersRemoved: ['etcd-10.77.0.12'], dead: ['10.77.0.12'] },
  },
  '62-remove-down-cp': { expectation: { removed: ['10.77.0.14'], dead: ['10.77.0.14'] } },
  '64-cp-down-in-config': { cause: 'hostUnreachable' },
  '65-remove-reachable-etcd': {
    expectation: { removed: ['10.77.0.13'], membersRemoved: ['etcd-10.77.0.13'] },
  },
  '66c-third-up-worker-back': {},
  '70b-sigterm-ctl': { cause: 'signal' },
  '70c-after-signals': {},
  '71-two-same-time-A': {},
  '71-two-same-time-B': { cause: 'concurrentRun' },
  '71b-two-3s-A': {},
  '71b-two-3s-B': { cause: 'concurrentRun' },
  '73f-quiet': { cause: 'unknown' },
  '73h-tty': { cause: 'ssh' },
  '74-nocp-full': { cause: 'controlplane' },
  '82-etcd-replaced': { cause: 'etcd' },
  '83b-delrole-worker': {},
};
const NO_UP = ['86c-getstate-overwrite', '86d-snapshot', '87a-remove-noforce', '87b-remove-force'];

describe('the logs of the real rke', () => {
  const logs = realLogs();
  before(function () {
    if (logs.length === 0 && process.env['CI'] !== 'true') this.skip();
    assert.ok(logs.length > 0, 'NODE_CYCLE_RKE_LOGS names no folder with logs');
  });

  it('are all known', () => {
    assert.deepEqual(logs.map(({ name }) => name).sort(), [...Object.keys(REAL), ...NO_UP].sort());
  });

  for (const [name, { cause, expectation }] of Object.entries(REAL)) {
    it(`${name} is judged as ${cause === undefined ? 'a success' : `failed: ${cause}`}`, () => {
      const log = logs.find((one) => one.name === name);
      assert.ok(log !== undefined);
      const run = { lines: log.lines, exitCode: log.exit, signal: log.signal };
      const found = judgeRun(run, { existingCluster: true, ...expectation });
      assert.equal(found.outcome, cause === undefined ? 'succeeded' : 'failed', JSON.stringify(found));
      if (found.outcome === 'failed') assert.equal(found.cause, cause);
    });
  }

  it('hold removals of dead hosts that the naive check takes for clean', () => {
    for (const name of ['61-remove-down-direct', '62-remove-down-cp']) {
      const log = logs.find((one) => one.name === name);
      assert.ok(log !== undefined && naive(log));
      const run = { lines: log.lines, exitCode: log.exit, signal: log.signal };
      const found = judgeRun(run, { existingCluster: true });
      assert.ok(found.outcome === 'falseSuccess' && found.kinds.includes('removedHostUnreachable'));
    }
  });

  it('are read whole: no line of a run is unknown', () => {
    for (const { name, lines } of logs)
      for (const line of lines) assert.notEqual(parseLine(line).level, 'plain', `${name}: ${line}`);
  });

  it('are written as those of the corpus are: time, level, quotes, colours, padding', () => {
    const text =
      /^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=(info|warning|fatal) msg=("([^"\\]|\\.)*"|[\w\-./@^+]+)$/;
    const terminal = /^\u001b\[3([136])m(?:INFO|WARN|FATA)\u001b\[0m\[\d{4}\] .{44,} $/;
    const odd = (lines: string[]) =>
      lines.filter((line) => !text.test(line) && !terminal.test(line) && parseLine(line).level !== 'plain');
    assert.deepEqual(
      logs.flatMap(({ lines }) => odd(lines)).filter((line) => !line.startsWith('Are you sure')),
      [],
    );
    assert.deepEqual(
      ownCorpus()
        .flatMap(({ lines }) => odd(lines))
        .filter((line) => !line.startsWith('Are you sure')),
      [],
    );
  });

  it('have the form of the corpus: each of its lines is one that the real program writes', () => {
    const written = new Set(logs.flatMap(({ lines }) => lines).map((line) => shapeOf(line)));
    const foreign = ownCorpus()
      .flatMap(({ name, lines }) => lines.map((line) => ({ name, shape: shapeOf(line) })))
      .filter(({ shape }) => !written.has(shape) && !NOT_AMONG_THEM.some((known) => known.test(shape)));
    assert.deepEqual(foreign, []);
  });
});

/** Facts that were noted in a table, or read in the source of later versions: no log of them is in the folder. */
const NOT_AMONG_THEM = [
  /cannot proceed with upgrade of worker|Provisioning incomplete/,
  /\[etcd\] Failed to bring up Etcd Plane/,
  /Failed to delete etcd node/,
  /Failed to deploy addon execute job/,
  /CA Certificate or Key is empty/,
  /is not able to connect to the following ports/,
  /flag provided but not defined|^plain (NAME:|OPTIONS:| {3}|$)/,
  /^plain (panic: |goroutine |main\.)/,
];

/** Level and message of a line without its values: what is in brackets, addresses, numbers, names of nodes. */
function shapeOf(line: string): string {
  const { level, message } = parseLine(line);
  const shape = message
    .replace(/\[[^[\]]*[\d.:*][^[\]]*\]/g, '[]')
    .replace(/kube-etcd-[\d-]+/g, 'kube-etcd-')
    .replace(/\b(status of node|controlplane host|Processing host) [\w.-]+/g, '$1')
    .replace(/open \S+:/, 'open:')
    .replace(/v?\d+(\.\d+)+(-\w+)*/g, '#')
    .replace(/line \d+|host \(\d+\)/, '')
    .replace(/role \w+$/, 'role');
  return `${level} ${shape}`;
}
