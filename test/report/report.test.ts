import assert from 'node:assert/strict';
import { summarise } from '../../cycle/record.ts';
import type { ReportData } from '../../report/data.ts';
import { escape, html } from '../../report/html.ts';
import { renderReport } from '../../report/render.ts';
import { inText, tickSeconds } from '../../report/timeline.ts';
import { latency, number } from '../../report/words.ts';
import { sample, sampleEvents } from './sample.ts';

/** Tags that open without closing, or close what is not open. */
function unbalanced(page: string): string[] {
  const alone = new Set(['meta', 'br', 'link', '!doctype', 'img']);
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [, close, name = '', self] of page.matchAll(
    /<(\/?)([a-z!][a-z0-9]*)(?:\s[^<>]*?)?(\/?)\s*>/gi,
  )) {
    const tag = name.toLowerCase();
    if (self === '/' || alone.has(tag)) continue;
    if (close === '') open.push(tag);
    else if (open.pop() !== tag) wrong.push(tag);
  }
  return [...wrong, ...open];
}

/** Every text of the data replaced by something hostile. */
function hostile<T>(value: T, text: string): T {
  if (typeof value === 'string') return text as T;
  if (Array.isArray(value)) return value.map((item: unknown) => hostile(item, text)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, hostile(item as unknown, text)]),
  ) as T;
}

describe('the report', () => {
  const page = renderReport(sample());

  it('leads with the outcome and the key figures', () => {
    for (const part of [
      'Succeeded',
      'home-n1',
      'home-n6',
      '4,006',
      'resets of idle connections',
      '99 % answered within',
      '/ 5 steady',
    ]) {
      assert.ok(page.slice(0, page.indexOf('<main')).includes(part), part);
    }
  });

  it('names every action with its reason', () => {
    const { steps } = sample().run;
    const actions = steps.flatMap((step) => step.actions);
    assert.ok(actions.length > 30);
    for (const action of actions) {
      assert.ok(page.includes(`<td class="id">${escape(action.id)}</td>`), action.id);
      assert.ok(page.includes(escape(action.reason)), action.reason);
    }
  });

  it('shows before and after, and says in words what changed', () => {
    assert.match(page, /<del>home-n1<\/del>\s*<span class="tag">leaves<\/span>/);
    assert.match(page, /<ins>home-n6<\/ins>\s*<span class="tag">new<\/span>/);
    for (const part of [
      '71 days',
      'under 1 day',
      'ubuntu-24.04 of 2026-05-04',
      'ingress_stream',
      'dash-home.example',
    ]) {
      assert.ok(page.includes(part), part);
    }
  });

  it('shows components, evidence and log heads', () => {
    for (const part of ['stand-in', '9.18.33', '6.8.0-58-generic', 'b3a1f0d28c6e5497'])
      assert.ok(page.includes(part), part);
  });

  it('draws one bar an action and marks those that cannot be taken back', () => {
    const actions = sample().run.steps.flatMap((step) => step.actions);
    assert.equal(page.match(/class="bar /g)?.length, actions.length);
    const irreversible = actions.filter((action) => action.irreversible).length;
    // One more in the legend.
    assert.equal(page.match(/class="diamond"/g)?.length, irreversible + 1);
    assert.equal(page.match(/class="mark"/g)?.length, irreversible);
    assert.ok(!/NaN|undefined|Infinity/.test(page));
  });

  it('says the figure in words', () => {
    assert.match(page, /role="img"\s+aria-labelledby="timeline-title timeline-text"/);
    assert.match(
      inText(sample()),
      /^11 steps in order of time\. PlanCycle: 2 actions in .*Meanwhile 4,006 requests, between 54 and 62 a second, of which 0 failed\.$/,
    );
  });

  it('shows each failed request with its time, and marks it under the timeline', () => {
    const failed = renderReport(sample({ outcome: 'failed', failed: 21 }));
    assert.match(failed, /status 502/);
    assert.equal(failed.match(/>7 failed<\/title/g)?.length, 3);
    assert.match(failed, /rke ended with exit code 1: host 127\.0\.0\.23 is not reachable/);
  });

  it('shows a refusal with its evidence and what to do', () => {
    const refused = renderReport(sample({ outcome: 'refused' }));
    for (const part of [
      'NC3020',
      'healthy without home-n1: 2, needed: 3',
      'What to do:',
      'Bring home-n3 back',
    ]) {
      assert.ok(refused.includes(part), part);
    }
  });

  for (const outcome of ['succeeded', 'failed', 'refused', 'nothingDue'] as const) {
    it(`is whole HTML without script or external resource when ${outcome}`, () => {
      const one = renderReport(sample({ outcome, failed: outcome === 'failed' ? 9 : 0 }));
      assert.deepEqual(unbalanced(one), []);
      assert.ok(!/<script|<link|<img|@import|url\(|https?:\/\/|\son[a-z]+=/i.test(one));
      assert.ok(one.startsWith('<!doctype html>'));
      for (const landmark of ['<header', '<main', '<footer', 'lang="en"'])
        assert.ok(one.includes(landmark), landmark);
    });
  }

  it('leaves out what it knows nothing of', () => {
    const bare: ReportData = {
      ...{ cluster: 'home', outcome: 'failed', reason: 'killed', startedMs: 0, endedMs: 0, replaced: [] },
      run: summarise([]),
    };
    const text = renderReport(bare);
    assert.deepEqual(unbalanced(text), []);
    assert.ok(
      !/Timeline|Before and after|What it ran against|Traffic/.test(text.slice(text.indexOf('<body'))),
    );
  });

  it('lets no foreign text become markup, wherever it stands', () => {
    const attack = `"><script>alert(1)</script><img src=x onerror='y'>&\u0000`;
    const data = sample({ outcome: 'failed', failed: 9 });
    const spoiled: ReportData = { ...hostile(data, attack), outcome: 'failed' };
    const text = renderReport(spoiled);
    assert.ok(text.includes('&lt;script&gt;alert(1)'));
    assert.ok(!/<script|<img|\u0000/.test(text));
    assert.deepEqual(unbalanced(text), []);
  });

  it('is drawn for a run that was killed in the middle of an action', () => {
    const events = sampleEvents();
    const killed = events.findIndex((event) => event.kind === 'action.started' && event.id === 'rke.up');
    const text = renderReport({ ...sample(), run: summarise(events.slice(0, killed + 1)) });
    assert.match(text, /class="bar [a-z]+ unfinished"/);
    assert.match(text, />unfinished<\/title/);
  });
});

describe('the words of the report', () => {
  it('escape values and keep templates', () => {
    assert.equal(
      html`<b title="${'"x"'}">${['<', html`<i>${1}</i>`]}${undefined}</b>`.html,
      '<b title="&quot;x&quot;">&lt;<i>1</i></b>',
    );
  });

  it('write numbers the same on every machine', () => {
    assert.deepEqual(
      [number(1_234_567), number(12), latency(0.844), latency(8.44), latency(1_234)],
      ['1,234,567', '12', '0.84', '8.4', '1,234'],
    );
  });

  it('have at most ten ticks on the axis of a run of any length', () => {
    for (const seconds of [1, 59, 68, 700, 5_000, 90_000, 3_000_000]) {
      assert.ok(seconds / tickSeconds(seconds * 1_000) <= 10, `${seconds} s`);
    }
  });
});
