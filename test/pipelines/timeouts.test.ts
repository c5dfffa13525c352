/**
 * Jobs' limits against the waits of their tasks. The waits come from the defaults of node-cycle.yml and the
 * deadlines of the bridge's operations, so a longer default that no job allows for fails here.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHANGES, CREATE_LIMIT_MS } from '../../agent-bridge/protocol/operations.ts';
import { expand, GATES, ROOT, STAGES } from './files.ts';

interface Schema {
  default?: number;
  properties?: Record<string, Schema>;
  items?: Schema;
}

const schema = JSON.parse(readFileSync(join(ROOT, 'schemas/node-cycle.schema.json'), 'utf8')) as Schema;

function fallback(...path: string[]): number {
  let at: Schema | undefined = schema;
  for (const key of path) at = key === '[]' ? at?.items : at?.properties?.[key];
  assert.equal(typeof at?.default, 'number', path.join('.'));
  return at?.default as number;
}
const bridge = (operation: keyof typeof CHANGES): number => CHANGES[operation].deadlineMs / 60_000;

const SETTLE = fallback('pace', 'settleSeconds') / 60;
/** Engine: observing may fail for five times the settling. */
const OBSERVE = 5 * SETTLE;
/** An act, and the settling after it. */
const act = (minutes: number): number => minutes + SETTLE;
/** A request to Kubernetes, etcd, git or a proxy. */
const REQUEST = 1;
const READY = fallback('kubernetes', 'readySeconds') / 60;
const DRAIN = fallback('kubernetes', 'drainSeconds') / 60;
const SYNC = act(REQUEST) + fallback('ingress', 'syncSeconds') / 60;
const UP = act(REQUEST) + act(fallback('rke', 'upMinutes'));
const SNAPSHOT = act(10) + act(REQUEST);
const TTL = 60;
const REPLICATION = 10;
/** Two aliases: a record, two members in, two out. */
const SWAP = 5 * act(bridge('dns.swap')) + act(TTL) + REPLICATION;
const IN = READY + SYNC + 2 * act(REQUEST);
const OUT = 2 * act(REQUEST) + act(fallback('proxies', '[]', 'drainSeconds') / 60) + SYNC;
/** The fact that there is no way back, the entry, `rke up`, the proof. */
const REMOVE = act(REQUEST) + UP + READY;
const BOOT = fallback('vm', 'bootMinutes');
/** A clone of an image: that is the default. An image for each node needs more; docs/pipelines.md says how much. */
const CREATE = CREATE_LIMIT_MS / 60_000;

const WAITS: Readonly<Record<string, number>> = {
  plan: OBSERVE + 2 * act(REQUEST),
  provision: act(fallback('vm', 'buildMinutes')) + act(CREATE) + BOOT + act(REQUEST) + BOOT,
  remove_dead: act(bridge('vm.stop')) + SWAP + OUT + REMOVE + SNAPSHOT,
  join: UP + 3 * act(REQUEST) + READY,
  traffic: IN + SWAP + OUT,
  controlplane: REMOVE,
  etcd: SNAPSHOT + REMOVE,
  node: act(REQUEST) + act(DRAIN) + DRAIN + READY + SNAPSHOT + REMOVE,
  delete: act(bridge('dns.swap')) + act(bridge('vm.delete')) + 2 * act(REQUEST),
  release: OBSERVE + act(REQUEST),
};
/** The engine takes an act that did not show a second time. */
const TRIES = 2;

describe("the jobs' limits", () => {
  for (const name of [...STAGES, 'release']) {
    it(`give ${name} more than the sum of its waits`, async () => {
      for (const gates of GATES) {
        const { pipeline } = await expand({ gates });
        const stage = pipeline.stages.find((candidate) => candidate.name.replace('_1', '') === name);
        const limit = stage?.jobs.at(-1)?.timeoutMinutes ?? 0;
        const sum = TRIES * (WAITS[name] ?? Infinity);
        assert.ok(limit > sum, `${name}: limit ${limit}, waits ${sum}`);
        // A limit that is far from what it is for would let a hanging job hold the agent.
        assert.ok(limit < 2 * sum + 30, `${name}: limit ${limit}, waits ${sum}`);
      }
    });
  }

  it("let all manual gates of one cycle wait for less than the lock's limit", async () => {
    const { pipeline } = await expand({ gates: 'manual' });
    const waits = pipeline.stages.map(({ jobs }) => jobs.filter(({ name }) => name === 'approve'));
    // A dead node has the gates of its removal and of the node; a living one all but the first.
    const minutes = waits.slice(STAGES.indexOf('join')).flat().map(({ timeoutMinutes }) => timeoutMinutes);
    assert.equal(minutes.length, 3);
    const days = minutes.reduce((sum, one) => sum + one, 0) / (24 * 60);
    assert.ok(days < fallback('lock', 'limitDays'), `${days} days`);
  });
});
