/** What goes wrong in a seed, drawn before it begins: which kinds, how often, when, and for how long. */
import { chance } from '../chance.ts';

export const CALL_FAULTS = [
  'a call fails',
  'a call takes effect and its answer is lost',
  'a call hangs',
  'a call hangs and takes effect',
  'an answer is late',
  'a request arrives twice',
  'an answer is stale',
  'the task is killed before a call',
  'the task is killed after a call',
] as const;
export type CallFault = (typeof CALL_FAULTS)[number];

export const EVENTS = [
  'a node loses its power',
  'an apiserver goes away',
  'an etcd member stops',
  'the SSH of a node is silent',
  'the host goes away',
  'the bridge is killed',
  'a supervisor is killed',
  'the proxy goes away',
  'the DNS primary goes away',
  'the DNS secondary goes away',
  'git goes away',
  'the GitOps repository goes away',
  'the service goes away',
  'a person cordons a node',
  'a person edits cluster.yml',
  'a person pushes to GitOps',
  'a person edits the proxy',
  'a person deletes a VM',
  'a person queues twice',
  'a person cancels',
  "the agent's clock jumps",
  "the host's clock jumps",
  'rke lies about a member',
  'rke ends in its middle',
  'the agent is a new one',
] as const;
export type EventKind = (typeof EVENTS)[number];

export const GATES = ['a person approves late', 'a person rejects', 'a person goes back'] as const;

export interface Disturbance {
  id: string;
  kind: EventKind;
  atMs: number;
  forMs: number;
  /** Which of those that it may strike, 0 ≤ pick < 1. */
  pick: number;
}

export interface Script {
  seed: number;
  /** Nothing goes wrong any more from here on. */
  horizonMs: number;
  callKinds: readonly CallFault[];
  /** Share of calls that go wrong. */
  callRate: number;
  disturbances: readonly Disturbance[];
  lateGate: number;
  rejectGate: number;
  goBack: boolean;
  /** Ids that do not happen: how a story is made shorter. */
  without: ReadonlySet<string>;
}

const HORIZON_MS = 75_000;
const RATES = [0, 0.001, 0.003, 0.01] as const;
const MOST_EVENTS = 6;
/** Each kind of fault is in this share of the seeds that have faults: seeds differ more when each has few kinds. */
const KIND_SHARE = 0.35;

export function scriptOf(seed: number, without: ReadonlySet<string> = new Set()): Script {
  const draw = chance(seed, 'script');
  const calm = draw.happens(0.05);
  const callKinds = CALL_FAULTS.filter(() => draw.happens(KIND_SHARE));
  const callRate = calm ? 0 : draw.pick(RATES);
  const count = calm ? 0 : draw.below(MOST_EVENTS + 1);
  const disturbances = Array.from({ length: count }, (_, at): Disturbance => {
    const kind = draw.pick(EVENTS);
    return {
      id: `${kind} (${at + 1})`,
      kind,
      atMs: Math.round(draw.between(0, HORIZON_MS * 0.6)),
      forMs: Math.round(draw.between(500, 25_000)),
      pick: draw.next(),
    };
  });
  return {
    ...{ seed, horizonMs: HORIZON_MS, callKinds, callRate, disturbances, without },
    lateGate: calm ? 0 : draw.happens(0.2) ? 0.3 : 0,
    rejectGate: calm ? 0 : draw.happens(0.15) ? 0.3 : 0,
    goBack: !calm && draw.happens(0.15),
  };
}
