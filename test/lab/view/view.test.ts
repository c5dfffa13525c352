import assert from 'node:assert/strict';
import sinon from 'sinon';
import type { ViewEvent } from '../../../lab/view/events.ts';
import { coloured, fold, initialState, liveLines, plain, plainLines } from '../../../lab/view/render.ts';
import { isLive, openView } from '../../../lab/view/view.ts';

const running: ViewEvent[] = [
  { kind: 'stage.started', stage: 'traffic' },
  { kind: 'step.started', stage: 'traffic', step: 'SwapDns' },
  {
    kind: 'action.started',
    id: 'dns.ttl cp-home',
    reason: 'the old answer lives 30 s',
    irreversible: false,
    wait: true,
  },
  { kind: 'traffic', total: 2_104, failed: 0, perSecond: 61, p99Ms: 8.42 },
  { kind: 'vms', running: 6, steady: 5 },
];
const state = (events: readonly ViewEvent[]) =>
  events.reduce((before, event) => fold(before, event, 1_000), initialState(0));
const table = {
  tasks: [{ stage: 'plan', name: 'PlanCycle', result: 'succeeded', durationMs: 900, actions: 0 }],
  replaced: [{ old: 'home-n1', new: 'home-n6' }],
  requests: { total: 2_500, failed: 0, resetOnIdle: 2, apiRetried: 1, p50Ms: 1.2, p99Ms: 9.4 },
  ...{ vmPeak: 6, vmSteady: 5, durationMs: 48_000, report: 'lab-report.html' },
};

describe('the live view', () => {
  it('shows stage, step, action, requests, failures, VMs and the time', () => {
    const text = liveLines(state(running), 13_000, 120, plain).join('\n');
    for (const part of [
      'traffic › SwapDns',
      'waits for dns.ttl cp-home',
      '12 s',
      'the old answer lives 30 s',
      '61 requests/s',
      '2104 in all',
      '0 failed',
      '6 VMs running (steady 5)',
      '13 s',
    ]) {
      assert.ok(text.includes(part), `${part} in\n${text}`);
    }
  });

  it('never draws wider than the terminal, so that its lines can be drawn over', () => {
    for (let columns = 24; columns < 130; columns += 7) {
      for (const line of liveLines(state(running), 13_000, columns, plain))
        assert.ok(line.length < columns, `${columns}: ${line}`);
    }
  });

  it('says what cannot be taken back', () => {
    const event: ViewEvent = {
      kind: 'action.started',
      id: 'vm.stop',
      reason: 'r',
      irreversible: true,
      wait: false,
    };
    assert.match(liveLines(state([event]), 1_000, 90, plain)[1] ?? '', /cannot be taken back: does vm\.stop/);
  });

  it('shows what a gate will let happen, and asks', () => {
    const asked: ViewEvent = {
      kind: 'approval.asked',
      stage: 'etcd',
      lines: ['member home-n1 leaves', 'two of three remain'],
    };
    const lines = liveLines(state([...running, asked]), 2_000, 90, plain);
    assert.deepEqual(lines.slice(0, 2), ['  member home-n1 leaves', '  two of three remain']);
    assert.match(lines.at(-1) ?? '', /etcd waits for approval/);
    const answered = state([
      ...running,
      asked,
      { kind: 'approval.answered', stage: 'etcd', approved: true, by: 'auto' },
    ]);
    assert.equal(answered.approval, undefined);
  });

  it('keeps foreign text from moving the cursor', () => {
    const lines = plainLines({ kind: 'log', step: 'x', text: 'a\u001b[2Jb\rc\nd' }, 0, plain);
    assert.deepEqual(lines, ['00:00       ab c d']);
  });
});

describe('the view', () => {
  const terminal = (isTTY: boolean) => {
    const written: string[] = [];
    return { isTTY, columns: 100, written, write: (text: string) => written.push(text) };
  };

  it('redraws only at a terminal and outside of CI', () => {
    assert.equal(isLive({ out: terminal(true), env: {} }), true);
    assert.equal(isLive({ out: terminal(true), env: { CI: 'true' } }), false);
    assert.equal(isLive({ out: terminal(true), env: { TERM: 'dumb' } }), false);
    assert.equal(isLive({ out: terminal(false), env: {} }), false);
  });

  it('writes one plain line an event otherwise, without colours or cursor movements', () => {
    const out = terminal(false);
    const view = openView({ out, env: {}, nowMs: () => 0 });
    for (const event of [...running, { kind: 'ended', outcome: 'succeeded', table } as const])
      view.show(event);
    view.close();
    const text = out.written.join('');
    assert.ok(!text.includes('\u001b'));
    assert.match(text, /00:00 {5}… dns\.ttl cp-home – the old answer lives 30 s/);
    assert.match(text, /2500 requests, 0 failed, 2 resets of idle connections/);
    assert.match(text, /home-n1 → home-n6/);
  });

  it('redraws its lines in place, and ends with the table', () => {
    const clock = sinon.useFakeTimers();
    try {
      const out = terminal(true);
      const view = openView({ out, env: { NO_COLOR: '1' }, nowMs: () => Date.now() });
      view.show({ kind: 'component', name: 'nginx', real: true, version: '1.22.1' });
      for (const event of running) view.show(event);
      clock.tick(350);
      const draws = out.written.filter((text) => text.startsWith('\u001b[3F\u001b[J'));
      assert.equal(draws.length, 3);
      view.show({ kind: 'ended', outcome: 'succeeded', table });
      const last = out.written.length;
      clock.tick(1_000);
      assert.equal(out.written.length, last);
      assert.match(out.written.at(-1) ?? '', /succeeded in 48 s/);
    } finally {
      clock.restore();
    }
  });

  it('is coloured at a terminal unless NO_COLOR is set', () => {
    const failed = state([{ kind: 'traffic', total: 9, failed: 1, perSecond: 1, p99Ms: 1 }]);
    assert.ok(liveLines(failed, 0, 90, coloured).join('').includes('\u001b[31m1 failed'));
    assert.ok(!liveLines(failed, 0, 90, plain).join('').includes('\u001b'));
  });
});
