/** Whether most members of etcd are healthy: the apiservers take writes only while they are. */
import type { LabWorld } from './world/create.ts';
import type { EtcdCluster } from './world/world.ts';

export interface Quorum {
  /** How often it was lost so far, elections apart. */
  losses(): number;
  stop(): void;
}

const POLL_MS = 500;
/** An apiserver's own check of etcd gives up after 2 s: an election is over by then. */
const LOST_POLLS = 4;

export function followQuorum(world: LabWorld, etcd: EtcdCluster): Quorum {
  let quorate = true;
  let missed = 0;
  let losses = 0;
  world.kube.setStorage(() => quorate);
  const look = async () => {
    const members = await etcd.members().catch(() => []);
    const healthy = members.filter((member) => member.healthy).length;
    missed = healthy > members.filter((member) => !member.isLearner).length / 2 ? 0 : missed + 1;
    const now = missed < LOST_POLLS;
    if (now === quorate) return;
    quorate = now;
    if (!now) losses += 1;
    world.emit({ kind: 'etcd.changed' });
  };
  const timer = setInterval(() => void look(), POLL_MS);
  return { losses: () => losses, stop: () => clearInterval(timer) };
}
