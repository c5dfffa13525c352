/** What must hold in every session, whatever the product says of itself: each has a name, and evidence when broken. */
import type { RunEvent } from '../cycle/record.ts';
import { leftOvers } from './left-overs.ts';
import { WORKER_SHUTDOWN_SECONDS, type Lab } from './start.ts';
import type { TrafficClass, TrafficResult } from './traffic/statistics.ts';

export const INVARIANTS = {
  surge: 'running VMs never above steady + 1',
  aliasNeverEmpty: 'an alias is never empty',
  successorBeforeLeaving: 'a successor is in before the old node is out',
  provenBackend: 'every path has a backend that answers',
  oldTtl: 'the old TTL is waited out before a role leaves',
  servedAfter: 'no request is served by a node that has left',
  podCutOff: 'a pod behind a Service ends by itself, never cut off',
  quorum: 'etcd keeps its quorum',
  leftOver: 'nothing of a replaced node is left',
  strayVm: 'no VM but the steady ones and those set aside',
  knownHosts: 'every node that runs has its host key in known_hosts',
} as const;
export type Invariant = keyof typeof INVARIANTS;

export function broken(invariant: Invariant, evidence: string): string {
  return `${INVARIANTS[invariant]}: ${evidence}`;
}

export function surge(peak: number, steady: number): string[] {
  return peak <= steady + 1 ? [] : [broken('surge', `${peak} ran, ${steady} are steady`)];
}

/**
 * From the events: after an alias gave up an old answer, the next act that cannot be taken back waits for as long as
 * a resolver may hold that answer. `ttlSeconds`: of the alias, before the cycle.
 */
export function earlyRemovals(events: readonly RunEvent[], ttlSeconds: (alias: string) => number): string[] {
  return events.flatMap((event) => {
    const alias = event.kind === 'action.done' ? /^dns\.swap (\S+) /.exec(event.id)?.[1] : undefined;
    if (alias === undefined || event.kind !== 'action.done') return [];
    const removal = events.find(
      (other) => other.kind === 'action.started' && other.irreversible && other.atMs >= event.atMs,
    );
    const passedSeconds = removal === undefined ? Infinity : (removal.atMs - event.atMs) / 1000;
    if (passedSeconds >= ttlSeconds(alias)) return [];
    return [
      broken('oldTtl', `${event.id} was ${Math.round(passedSeconds)} s before, of ${ttlSeconds(alias)}`),
    ];
  });
}

/** Between the act that is done and its record; and how far the clocks of the processes are read apart. */
const SLACK_MS = 1_000;

/**
 * Requests that an old node answered after it had left their path: the proxy's after it left the proxy, the alias's
 * after the old answer's TTL.
 */
export function servedAfterLeaving(
  events: readonly RunEvent[],
  old: { name: string; address: string },
  lastServedMs: TrafficResult['lastServedMs'],
  ttlSeconds: (alias: string) => number,
): string[] {
  const left = (matches: (id: string) => boolean): number | undefined =>
    events.filter((event) => event.kind === 'action.done' && matches(event.id)).at(-1)?.atMs;
  const proxyMs = left((id) => id.startsWith('proxy.out ') && id.endsWith(` ${old.address}`));
  const aliasMs = left((id) => id.startsWith(`dns.swap dash ${old.name}.`));
  const ends: Partial<Record<TrafficClass, number | undefined>> = {
    http: proxyMs,
    // nginx keeps streams that were open, until the workers that held them are told to end.
    stream: proxyMs === undefined ? undefined : proxyMs + WORKER_SHUTDOWN_SECONDS * 1000,
    alias: aliasMs === undefined ? undefined : aliasMs + ttlSeconds('dash') * 1000,
  };
  return Object.entries(ends).flatMap(([name, endMs]) => {
    const lastMs = lastServedMs[name as TrafficClass]?.[old.name];
    if (endMs === undefined || lastMs === undefined || lastMs <= endMs + SLACK_MS) return [];
    return [
      broken('servedAfter', `${old.name} answered ${name} ${((lastMs - endMs) / 1000).toFixed(1)} s after`),
    ];
  });
}

/** What must be true of the world when every node of `replaced` is said to be replaced. */
export async function atTheEnd(
  lab: Lab,
  replaced: readonly { old: string; new: string }[],
  vmSteady: number,
): Promise<string[]> {
  const { world } = lab;
  const left = await Promise.all(
    replaced.map(async ({ old }) => {
      const address = addressOf(lab, old);
      return address === undefined ? [] : leftOvers(lab, old, address);
    }),
  );
  const found = left.flat().map((place) => broken('leftOver', place));
  if (replaced.length === 0) return found;
  const vms = world.hosts.vms();
  const running = vms.filter((vm) => vm.state === 'running').length;
  const aside = vms.length - running;
  if (running !== vmSteady || aside !== replaced.length) {
    const evidence = `${running} run, ${vmSteady} are steady; ${aside} are off, ${replaced.length} were replaced`;
    found.push(broken('strayVm', evidence));
  }
  return found;
}

export function addressOf(lab: Lab, name: string): string | undefined {
  const machine = [...lab.world.machines.values()].find((one) => one.name === name);
  return lab.example.nodes.find((node) => node.name === name)?.address ?? machine?.address;
}

/** `ssh-keyscan` lines in known_hosts for what runs; `lines` is the file. */
export function unpinned(
  lines: string,
  running: readonly { name: string; address: string; publicKey: string }[],
  port: number,
): string[] {
  const pinned = lines.split('\n').map((line) => line.trim().split(/\s+/));
  return running.flatMap(({ name, address, publicKey }) => {
    const host = port === 22 ? address : `[${address}]:${String(port)}`;
    const [type, key] = publicKey.split(' ');
    const has = pinned.some((words) => words[0] === host && words[1] === type && words[2] === key);
    return has ? [] : [broken('knownHosts', `${name} at ${host} is not in it with its key`)];
  });
}
