/**
 * What a cycle writes down because it cannot be observed afterwards: the one list of the annotations on the
 * cluster's Lease. These are facts about the world, never positions in the program.
 */
import type { Role } from './config/schema.ts';
import type { RemovedLine } from './edge/nginx/upstreams.ts';

/** A node as it was when its cycle began. */
export interface NodeFacts {
  name: string;
  address: string;
  /** The Hyper-V host of its VM. */
  host?: string | undefined;
  vmId?: string | undefined;
  mac?: string | undefined;
  roles: readonly Role[];
  /** Of its entry in cluster.yml: on the dead path that entry is gone before the successor's is made. */
  labels?: Readonly<Record<string, string>> | undefined;
  taints?: readonly { key: string; value: string; effect: string }[] | undefined;
}

export type Direction = 'forward' | 'back';

/**
 * An address that was reserved for a node. Written before the service is asked, so the MAC and the address may be
 * missing: the answer was lost with the run that had asked.
 */
export interface ReservedFor {
  mac?: string | undefined;
  address?: string | undefined;
}

export interface Facts {
  /** The node that was due. */
  old?: NodeFacts | undefined;
  /** Its successor and the host where it is made; the address is there when it was chosen from a static range. */
  successor?: { name: string; address?: string | undefined; host?: string | undefined } | undefined;
  direction: Direction;
  reason?: string | undefined;
  startedAtMs?: number | undefined;
  /** Set before the first irreversible act on the old node: from here there is no way back. */
  roleRemoved?: boolean | undefined;
  /** When a snapshot of etcd was taken and checked in this cycle, and where it lies on the agent. */
  snapshotAtMs?: number | undefined;
  snapshotPath?: string | undefined;
  /** Whether somebody else had cordoned the old node before the cycle. */
  foreignCordon?: boolean | undefined;
  /** By alias and leaving address or target: when it was taken out and the TTL it had, in seconds. */
  swapped: Readonly<Record<string, { atMs: number; ttlSeconds: number }>>;
  /** By alias: its own TTL in seconds while it has a lower one, and since when it has that. */
  ttls?: Readonly<Record<string, { ttlSeconds: number; atMs: number } | undefined>> | undefined;
  /** By proxy and address: the lines that were taken out, as they were before the cycle. */
  upstreams: Readonly<Record<string, readonly RemovedLine[]>>;
  /** Addresses that had a place in the ingress values and were taken out. */
  ingressPlaces?: readonly string[] | undefined;
  /** By node: outlives the cycle, until its VM is purged and the address is given back. */
  reservations?: Readonly<Record<string, ReservedFor | undefined>> | undefined;
}

export const NO_FACTS: Facts = { direction: 'forward', swapped: {}, upstreams: {} };

const PREFIX = 'node-cycle/';
const KEYS = [
  'old',
  'successor',
  'direction',
  'reason',
  'startedAtMs',
  'roleRemoved',
  'snapshotAtMs',
  'snapshotPath',
  'foreignCordon',
  'swapped',
  'ttls',
  'upstreams',
  'ingressPlaces',
  'reservations',
] as const satisfies readonly (keyof Facts)[];

/** Facts as annotations; a fact that is absent becomes null, which removes its annotation. */
export function factsToAnnotations(facts: Facts): Record<string, string | null> {
  const kept = facts.old === undefined ? finished(facts) : facts;
  return Object.fromEntries(
    KEYS.map((key) => {
      const text = kept[key] === undefined ? undefined : JSON.stringify(kept[key]);
      return [
        `${PREFIX}${key}`,
        text === undefined || ((key === 'reservations' || key === 'ttls') && text === '{}') ? null : text,
      ];
    }),
  );
}

/** What is left of the facts when a cycle has ended. */
export function finished(facts: Facts): Partial<Facts> {
  return facts.reservations === undefined ? {} : { reservations: facts.reservations };
}

/** Annotations that are missing or unreadable count as absent: a wait then begins anew, and nothing is assumed. */
export function factsFromAnnotations(annotations: Readonly<Record<string, string>>): Facts {
  const found: Record<string, unknown> = {};
  for (const key of KEYS) {
    const text = annotations[`${PREFIX}${key}`];
    if (text === undefined) continue;
    try {
      found[key] = JSON.parse(text);
    } catch {
      continue;
    }
  }
  return { ...NO_FACTS, ...(found as Partial<Facts>) };
}

/** Who leaves and who stays, with the direction taken into account. */
export interface Pair {
  leaving: string;
  staying: string;
}

export function pairOf(facts: Facts): Pair | undefined {
  if (facts.old === undefined || facts.successor === undefined) return undefined;
  return facts.direction === 'forward'
    ? { leaving: facts.old.name, staying: facts.successor.name }
    : { leaving: facts.successor.name, staying: facts.old.name };
}
