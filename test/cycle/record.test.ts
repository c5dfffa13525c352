import assert from 'node:assert/strict';
import { decodeEvents, encodeEvents, inWords, summarise, summaryMarkdown } from '../../cycle/record.ts';
import type { RunEvent, RunEventBody, WorldSnapshot } from '../../cycle/record.ts';

/** Gives each event the next second. */
function record(...bodies: RunEventBody[]): RunEvent[] {
  return bodies.map((body, index) => ({ ...body, atMs: 1_000 * (index + 1) }));
}

const started = (step: string): RunEventBody => ({
  kind: 'step.started',
  step,
  task: step.split(' ')[0] ?? '',
});
const begins = (id: string, more: { irreversible?: boolean; wait?: boolean } = {}): RunEventBody => ({
  ...{ kind: 'action.started', id, reason: `because of ${id}`, irreversible: false, wait: false },
  ...more,
});
const ends = (id: string): RunEventBody => ({ kind: 'action.done', id, durationMs: 1_000 });
const outcome = (value: 'succeeded' | 'failed' | 'nothingDue' | 'refused'): RunEventBody => ({
  ...{ kind: 'outcome', outcome: value, reason: '' },
});
const world = (name: string): WorldSnapshot => ({
  nodes: [{ name, roles: ['worker'], ageDays: 1, image: 'i1', ready: true }],
  ...{ etcd: [], dns: [], upstreams: [], ingress: [] },
});

describe('the record of a run', () => {
  const events = record(
    started('SwapDns'),
    { kind: 'before', world: world('n1') },
    begins('dns.add cp'),
    ends('dns.add cp'),
    { kind: 'after', world: world('n2') },
    outcome('succeeded'),
  );

  it('reads back what it wrote', () => {
    assert.deepEqual(decodeEvents(encodeEvents(events)), { events, cut: false, unreadable: [] });
  });

  it('is whole up to the last full line at every place where its writer can be killed', () => {
    const text = encodeEvents(events);
    for (let length = 0; length <= text.length; length += 1) {
      const decoded = decodeEvents(text.slice(0, length));
      const whole = text.slice(0, length).split('\n').length - 1;
      assert.ok(decoded.events.length >= whole, `${length} bytes`);
      assert.deepEqual(decoded.events, events.slice(0, decoded.events.length));
      assert.deepEqual(decoded.unreadable, []);
    }
    assert.equal(decodeEvents(text.slice(0, -9)).cut, true);
  });

  it('names lines that are no event, and goes on after them', () => {
    const [first = '', second = ''] = encodeEvents(events).split('\n');
    const foreign =
      '{"atMs":1,"kind":"toString"}\n{"atMs":1,"kind":"before","world":{}}\nnull\n{"atMs":1,"kind":"plan"}';
    const decoded = decodeEvents(`${first}\n${foreign}\n${second}\n`);
    assert.deepEqual(decoded.unreadable, [2, 3, 4, 5]);
    assert.equal(decoded.events.length, 2);
  });
});

describe('the summary of a run', () => {
  it('gives each action its reason, its time and its step', () => {
    const summary = summarise(
      record(
        started('RkeAddNode'),
        begins('rke.up'),
        ends('rke.up'),
        begins('node.ready', { wait: true }),
        ends('node.ready'),
        outcome('succeeded'),
      ),
    );
    assert.equal(summary.outcome, 'succeeded');
    assert.deepEqual(
      summary.steps[0]?.actions.map((action) => [
        action.id,
        action.startedMs,
        action.endedMs,
        action.wait,
        action.state,
      ]),
      [
        ['rke.up', 2_000, 3_000, false, 'done'],
        ['node.ready', 4_000, 5_000, true, 'done'],
      ],
    );
  });

  it('counts the tries of an action that was applied again, and keeps its errors', () => {
    const summary = summarise(
      record(
        started('SwapDns'),
        begins('dns.add'),
        { kind: 'action.failed', id: 'dns.add', error: 'timed out' },
        begins('dns.add'),
        ends('dns.add'),
      ),
    );
    assert.equal(summary.steps[0]?.actions.length, 1);
    const [action] = summary.steps[0].actions;
    assert.deepEqual([action?.tries, action?.state, action?.errors], [2, 'done', ['timed out']]);
  });

  it('keeps an action apart from the same one taken again after it was done', () => {
    const summary = summarise(
      record(started('S'), begins('probe'), ends('probe'), begins('probe'), ends('probe')),
    );
    assert.equal(summary.steps[0]?.actions.length, 2);
  });

  it('calls a step without an outcome unfinished, and lets its next run decide', () => {
    const killed = record(started('DeleteVm'), begins('vm.stop', { irreversible: true }));
    assert.equal(summarise(killed).outcome, 'unfinished');
    assert.equal(summarise(killed).steps[0]?.actions[0]?.state, 'unfinished');
    const again = summarise([
      ...killed,
      ...record(started('DeleteVm'), begins('vm.stop'), ends('vm.stop'), outcome('succeeded')),
    ]);
    assert.equal(again.outcome, 'succeeded');
    assert.equal(again.steps.length, 2);
  });

  it('is refused when a step refused, and failed when one failed', () => {
    assert.equal(
      summarise(record(started('A'), outcome('succeeded'), started('B'), outcome('refused'))).outcome,
      'refused',
    );
    assert.equal(
      summarise(record(started('A'), outcome('failed'), started('B'), outcome('refused'))).outcome,
      'failed',
    );
  });

  it('has nothing due only when no step acted', () => {
    const idle = record(started('PlanCycle'), outcome('nothingDue'));
    assert.equal(summarise(idle).outcome, 'nothingDue');
    const busy = record(started('DeleteVm'), begins('vm.stop'), ends('vm.stop'), outcome('succeeded'));
    assert.equal(summarise([...busy, ...idle]).outcome, 'succeeded');
  });

  it('compares the first world before with the last world after', () => {
    const summary = summarise(
      record(
        { kind: 'before', world: world('n1') },
        { kind: 'after', world: world('n2') },
        { kind: 'before', world: world('n2') },
        { kind: 'after', world: world('n3') },
      ),
    );
    assert.deepEqual([summary.before?.nodes[0]?.name, summary.after?.nodes[0]?.name], ['n1', 'n3']);
  });

  it('keeps the last head of each host', () => {
    const head = (host: string, entries: number): RunEventBody => ({
      kind: 'logHead',
      host,
      entries,
      hash: `h${entries}`,
    });
    const summary = summarise(record(head('a', 1), head('b', 2), head('a', 3)));
    assert.deepEqual(
      summary.logHeads.map(({ host, entries }) => [host, entries]),
      [
        ['b', 2],
        ['a', 3],
      ],
    );
  });

  it('says nothing of a run without events', () => {
    assert.deepEqual([summarise([]).outcome, summarise([]).startedMs], ['unfinished', undefined]);
  });
});

describe('the Markdown summary', () => {
  const refused = record(
    started('PlanCycle'),
    { kind: 'pair', oldNode: 'home-n1', newNode: 'home-n6' },
    begins('rke.up', { irreversible: true }),
    {
      kind: 'refusal',
      code: 'NC3001',
      what: 'etcd <b>lacks</b> a majority',
      evidence: ['home-n2 | down'],
      remedy: 'Start home-n2.',
    },
    outcome('refused'),
  );

  it('says what was refused, why, and what to do', () => {
    const markdown = summaryMarkdown(refused);
    for (const part of [
      '## Refused',
      'home-n1 → home-n6',
      '### NC3001',
      'What to do: Start home-n2.',
      '| PlanCycle | rke.up |',
      'unfinished, irreversible',
    ]) {
      assert.ok(markdown.includes(part), part);
    }
  });

  it('lets no markup of foreign text through', () => {
    const markdown = summaryMarkdown(refused);
    assert.ok(markdown.includes('&lt;b&gt;lacks'));
    assert.ok(markdown.includes('home-n2 \\| down'));
  });
});

describe('a duration in words', () => {
  for (const [ms, words] of [
    [0, '0.0 s'],
    [420, '0.4 s'],
    [9_960, '10 s'],
    [59_700, '1 min 0 s'],
    [185_000, '3 min 5 s'],
    [8_040_000, '2 h 14 min'],
  ] as const) {
    it(`${ms} ms is ${words}`, () => assert.equal(inWords(ms), words));
  }
});
