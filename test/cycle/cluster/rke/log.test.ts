import assert from 'node:assert/strict';
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
});
