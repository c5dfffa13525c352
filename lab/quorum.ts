/** Whether etcd has its quorum: the apiservers take writes only while it does. */
import type { LabWorld } from './world/create.ts';
import type { EtcdCluster } from './world/world.ts';

export interface Quorum {
  /** How often it was lost so far, elections apart. */
  losses(): number;
  stop(): void;
}

const POLL_MS = 500;
/** While nobody is healthy it is looked at more often, so that a short return is seen. */
const DOUBT_POLL_MS = 50;
/** An apiserver's check of etcd gives up after 2 s, and a member without quorum takes 1 s to say so. */
const LOST_MS = 3_000;

export function followQuorum(world: LabWorld, etcd: EtcdCluster): Quorum {
  let quorate = true;
  let losses = 0;
  let lastSeenMs = Date.now();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  world.kube.setStorage(() => quorate);
  const look = async () => {
    const members = await etcd.members().catch(() => []);
    if (stopped) return;
    // A member says healthy only after a read that most members agreed on: one is proof enough.
    const seen = members.some((member) => member.healthy);
    if (seen) lastSeenMs = Date.now();
    const now = Date.now() - lastSeenMs < LOST_MS;
    if (now !== quorate) {
      quorate = now;
      if (!now) losses += 1;
      world.emit({ kind: 'etcd.changed' });
    }
    timer = setTimeout(() => void look(), seen ? POLL_MS : DOUBT_POLL_MS);
  };
  void look();
  return {
    losses: () => losses,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
