import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { judgeRun, parseLine } from '../../../../cycle/cluster/rke/log.ts';
import type { RunExpectation } from '../../../../cycle/cluster/rke/log.ts';

const text = (level: string, msg: string) => `time="2026-11-22T16:38:31Z" level=${level} msg="${msg}"`;
const FINISHED = text('info', 'Finished building Kubernetes cluster successfully');
const existing: RunExpectation = { existingCluster: true };
const good = [
  text('info', 'Running RKE version: v1.2.23'),
  text('info', '[dialer] Setup tunnel for host [10.0.0.1]'),
  text('info', '[reconcile] Reconciling cluster state'),
  FINISHED,
];
const ended = (lines: string[], exitCode: number | null = 0, signal: string | null = null) => ({
  lines,
  exitCode,
  signal,
});
/** What a script does that trusts rke. */
const naive = (run: { lines: string[]; exitCode: number | null }) =>
  run.exitCode === 0 &&
  run.lines.some((line) => line.includes('Finished building Kubernetes cluster successfully'));

describe('the log of rke', () => {
  it('is read in its text form, unquoted messages and escapes included', () => {
    assert.deepEqual(parseLine('time="2026-11-22T17:20:05Z" level=fatal msg=EOF'), {
      level: 'fatal',
      message: 'EOF',
      atMs: Date.UTC(2026, 10, 22, 17, 20, 5),
    });
    assert.equal(parseLine(text('warning', 'Get \\"http://x\\"')).message, 'Get "http://x"');
  });

  it('is read in its terminal form with colours', () => {
    const line = parseLine('\u001b[33mWARN\u001b[0m[0018] Removing host [127.0.0.2] from node lists    ');
    assert.deepEqual(line, {
      level: 'warning',
      message: 'Removing host [127.0.0.2] from node lists',
      atSecond: 18,
    });
  });

  it('is found behind a prompt without a newline', () => {
    assert.equal(
      parseLine('Are you sure [y/n]: time="2026-11-22T17:20:05Z" level=fatal msg=EOF').level,
      'fatal',
    );
  });
});

describe('judging a run of rke', () => {
  it('takes a clean run for a success', () => {
    assert.deepEqual(judgeRun(ended(good), existing), { outcome: 'succeeded', notes: [] });
  });

  const warnings: [string, string, RunExpectation][] = [
    [
      'removedHostUnreachable',
      "[reconcile] Couldn't clean up worker node [10.0.0.2]: Not able to reach the host: x",
      existing,
    ],
    ['reconcileWarning', '[reconcile] something could not be done', existing],
    ['memberRemovalMasked', 'Failed to delete etcd node [10.0.0.2]', existing],
    ['addonFailed', 'Failed to deploy addon execute job [rke-network-plugin]: timed out', existing],
    ['hostSkipped', 'Removing host [10.0.0.2] from node lists', existing],
    ['unexpectedWarning', 'never seen before', existing],
  ];
  for (const [kind, message, expectation] of warnings) {
    it(`does not believe exit 0 and the success line after the warning of ${kind}`, () => {
      const run = ended([...good.slice(0, 3), text('warning', message), FINISHED]);
      assert.ok(naive(run));
      const outcome = judgeRun(run, expectation);
      assert.ok(
        outcome.outcome === 'falseSuccess' && outcome.kinds.some((one) => one === kind),
        JSON.stringify(outcome),
      );
    });
  }

  it('does not believe a removal that no line tells of, the trap after a failed run', () => {
    const run = ended(good);
    assert.ok(naive(run));
    const outcome = judgeRun(run, {
      existingCluster: true,
      removed: ['10.0.0.2'],
      membersRemoved: ['etcd-n2'],
    });
    assert.deepEqual(outcome.outcome === 'falseSuccess' && outcome.kinds, [
      'removalNotSeen',
      'memberRemovalNotSeen',
    ]);
  });

  it('does not believe that an existing cluster is newly generated', () => {
    const run = ended([
      ...good.slice(0, 3),
      text('info', '[reconcile] This is newly generated cluster'),
      FINISHED,
    ]);
    assert.ok(naive(run));
    assert.equal(judgeRun(run, existing).outcome, 'falseSuccess');
    assert.equal(judgeRun(run, { existingCluster: false }).outcome, 'succeeded');
  });

  it('expects that a dead host is not cleaned up', () => {
    const lines = [
      ...good.slice(0, 3),
      text('info', '[hosts] Successfully deleted host [10.0.0.2] from the cluster'),
      text(
        'warning',
        "[reconcile] Couldn't clean up worker node [10.0.0.2]: Not able to reach the host: Failed to dial ssh",
      ),
      FINISHED,
    ];
    const outcome = judgeRun(ended(lines), {
      existingCluster: true,
      removed: ['10.0.0.2'],
      dead: ['10.0.0.2'],
    });
    assert.equal(outcome.outcome, 'succeeded', JSON.stringify(outcome));
  });

  it('says which login failed when rke only speaks of etcd', () => {
    const outcome = judgeRun(
      ended(
        [
          text('warning', 'Failed to set up SSH tunneling for host [10.0.0.9]: no route to host'),
          text(
            'fatal',
            'Cluster must have at least one etcd plane host: please specify one or more etcd in cluster config',
          ),
        ],
        1,
      ),
      existing,
    );
    assert.ok(outcome.outcome === 'failed' && outcome.cause === 'ssh');
    assert.deepEqual(outcome.hosts, ['10.0.0.9']);
  });

  it('calls a signal, a silent failure and a panic by their names', () => {
    const causes = [
      judgeRun(ended(good.slice(0, 2), null, 'SIGTERM'), existing),
      judgeRun(ended([], 1), existing),
      judgeRun(ended(['panic: runtime error: slice bounds out of range', 'goroutine 1'], 2), existing),
    ].map((outcome) => outcome.outcome === 'failed' && outcome.cause);
    assert.deepEqual(causes, ['signal', 'unknown', 'crash']);
  });

  it('never finds success in a false success whose lines are split, mixed or cut', () => {
    const lines = [...good.slice(0, 3), text('warning', '[reconcile] it did not work at all'), FINISHED];
    let seed = 7;
    const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    for (let round = 0; round < 3000; round += 1) {
      const mangled = [...lines];
      const kind = random(3);
      const at = 3 + (kind === 0 ? 0 : random(2));
      const line = mangled[at] ?? '';
      const cut = 1 + random(line.length - 1);
      if (kind === 0) mangled.splice(at, 1, line.slice(0, cut), line.slice(cut));
      else if (kind === 1)
        mangled.splice(at, 1, line.slice(0, cut) + (mangled[random(3)] ?? '') + line.slice(cut));
      else mangled[4] = FINISHED.slice(0, random(FINISHED.length - 1));
      assert.notEqual(judgeRun(ended(mangled), existing).outcome, 'succeeded', mangled.join('\n'));
    }
  });
});

describe('the real logs of rke', function () {
  const folder = process.env['NODE_CYCLE_RKE_LOGS'] ?? '';

  const expectations: Record<string, RunExpectation> = {
    '53-single-full': { existingCluster: false },
    '61-remove-down-direct': { existingCluster: true, removed: ['10.77.0.12'], dead: ['10.77.0.12'] },
    '62-remove-down-cp': { existingCluster: true, removed: ['10.77.0.14'], dead: ['10.77.0.14'] },
    '65-remove-reachable-etcd': {
      existingCluster: true,
      removed: ['10.77.0.13'],
      membersRemoved: ['etcd-10.77.0.13'],
    },
  };

  const cases =
    folder !== '' && existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.out')) : [];
  before(function () {
    if (cases.length === 0 && process.env['CI'] !== 'true') this.skip();
    assert.ok(cases.length > 0, 'NODE_CYCLE_RKE_LOGS names no folder with logs');
  });

  it('are judged as they ended', () => {
    for (const file of cases) {
      const name = file.replace(/\.out$/, '');
      const lines = readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean);
      const code = Number(readFileSync(join(folder, `${name}.exit`), 'utf8').trim() || '1');
      const run = { lines, exitCode: code < 0 ? null : code, signal: code < 0 ? 'SIGTERM' : null };
      if (!/Finished building/.test(lines.join()) && code === 0) continue;
      const outcome = judgeRun(run, expectations[name] ?? existing);
      assert.equal(
        outcome.outcome,
        code === 0 ? 'succeeded' : 'failed',
        `${name}: ${JSON.stringify(outcome)}`,
      );
    }
  });

  it('hold removals of dead hosts that the naive check takes for clean', () => {
    for (const name of ['61-remove-down-direct', '62-remove-down-cp']) {
      const lines = readFileSync(join(folder, `${name}.out`), 'utf8')
        .split('\n')
        .filter(Boolean);
      assert.ok(naive({ lines, exitCode: 0 }));
      assert.equal(judgeRun({ lines, exitCode: 0, signal: null }, existing).outcome, 'falseSuccess');
    }
  });

  it('are read whole: no line of a run is unknown, but usage, prompts and panics', () => {
    for (const file of cases) {
      const lines = readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean);
      for (const line of lines) assert.notEqual(parseLine(line).level, 'plain', `${file}: ${line}`);
    }
  });
});
