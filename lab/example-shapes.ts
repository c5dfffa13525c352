/** The nodes of the example: as our first user has them, or any other set of roles for a test. */
import type { Role } from '../cycle/config/schema.ts';

export interface ExampleNodeShape {
  roles: readonly Role[];
  ageDays: number;
  labels?: Record<string, string> | undefined;
  taints?:
    { key: string; value?: string; effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute' }[] | undefined;
  /** The VM's notes: another tool's. */
  notes?: string | undefined;
}

export interface ExampleShape {
  cluster: string;
  nodes: readonly ExampleNodeShape[];
}

const note = (startGroup: number, delayOffset: number) => JSON.stringify({ startGroup, delayOffset });

/** Three servers with every role, two agents; the oldest is over the limit. */
export const HOME: ExampleShape = {
  cluster: 'home',
  nodes: [
    { roles: ['controlplane', 'etcd', 'worker'], ageDays: 71, notes: note(2, 30) },
    { roles: ['controlplane', 'etcd', 'worker'], ageDays: 52, notes: note(2, 60) },
    { roles: ['controlplane', 'etcd', 'worker'], ageDays: 33, notes: note(2, 90) },
    { roles: ['worker'], ageDays: 40, notes: note(3, 0) },
    {
      roles: ['worker'],
      ageDays: 20,
      labels: { 'home.example/disk': 'ssd' },
      taints: [{ key: 'home.example/media', value: 'true', effect: 'PreferNoSchedule' }],
      notes: note(3, 30),
    },
  ],
};

/** The same nodes, the oldest `count` of them over the limit of 60 days. */
export function withDue(shape: ExampleShape, count: number): ExampleShape {
  const oldest = [...shape.nodes].sort((a, b) => b.ageDays - a.ageDays).slice(0, count);
  return {
    ...shape,
    nodes: shape.nodes.map((node) => ({
      ...node,
      ageDays: oldest.includes(node) ? Math.max(node.ageDays, 70 - oldest.indexOf(node)) : node.ageDays,
    })),
  };
}

/** One server and one worker: the smallest cluster that can lose a worker. */
export const SMALL: ExampleShape = {
  cluster: 'home',
  nodes: [
    { roles: ['controlplane', 'etcd', 'worker'], ageDays: 20, notes: note(1, 0) },
    { roles: ['worker'], ageDays: 71, notes: note(1, 30) },
    { roles: ['worker'], ageDays: 10, notes: note(1, 60) },
  ],
};

export const ROLE_SETS: readonly (readonly Role[])[] = [
  ['controlplane'],
  ['etcd'],
  ['worker'],
  ['controlplane', 'etcd'],
  ['controlplane', 'worker'],
  ['etcd', 'worker'],
  ['controlplane', 'etcd', 'worker'],
];

/** Three servers and two workers that stay, and one old node with this set of roles, which is due. */
export function shapeWithOldest(roles: readonly Role[]): ExampleShape {
  const server: ExampleNodeShape = {
    roles: ['controlplane', 'etcd', 'worker'],
    ageDays: 30,
    notes: note(2, 0),
  };
  const worker: ExampleNodeShape = { roles: ['worker'], ageDays: 25, notes: note(3, 0) };
  return {
    cluster: 'home',
    nodes: [{ roles, ageDays: 71, notes: note(2, 30) }, server, server, worker, worker],
  };
}
