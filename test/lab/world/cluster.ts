/** A small cluster for tests: one host, control-plane machines and workers, everything running and Ready. */
import type { ManualClock } from '../../../lab/world/clock.ts';
import { createWorld } from '../../../lab/world/create.ts';
import type { LabWorld } from '../../../lab/world/create.ts';
import { timing } from '../../../lab/world/timing.ts';
import type { Timing } from '../../../lab/world/timing.ts';
import { installWorkloads } from '../../../lab/world/workloads/manifests.ts';
import type { Machine, WorldClock } from '../../../lab/world/world.ts';

export interface TestCluster {
  world: LabWorld;
  controlPlane: Machine[];
  workers: Machine[];
}

export const CONTROL_PLANE_CONTAINERS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'etcd',
];
const IMAGE = 'rancher/hyperkube:v1.20.15-rancher2';

export interface TestClusterOptions {
  clock?: WorldClock;
  controlPlane?: number;
  workers?: number;
  /** `127.x.y.` of all machines. */
  subnet?: string;
  ports?: { http: number; stream: number };
  workloads?: boolean;
  timing?: Timing;
}

export function testCluster(options: TestClusterOptions = {}): TestCluster {
  const {
    controlPlane = 1,
    workers = 3,
    subnet = '127.31.0.',
    ports = { http: 8081, stream: 9001 },
  } = options;
  const world = createWorld({
    cluster: 'test',
    seed: 7,
    clock: options.clock,
    timing: options.timing ?? timing(),
    hosts: [{ name: 'hv1', memoryMb: 65_536, diskBytes: 2 ** 41, images: [] }],
  });
  const machine = (name: string, at: number, worker: boolean): Machine => {
    const made = world.hosts.addVm({
      name,
      address: `${subnet}${at}`,
      createdAtMs: world.clock.nowMs() - 61 * 86_400_000,
      sshHostKey: { private: '', public: '' },
    }).machine;
    const labels: Record<string, string> = worker
      ? { 'node-role.kubernetes.io/worker': 'true' }
      : { 'node-role.kubernetes.io/controlplane': 'true', 'node-role.kubernetes.io/etcd': 'true' };
    made.kubelet = {
      nodeName: name,
      labels,
      taints: worker
        ? []
        : [{ key: 'node-role.kubernetes.io/controlplane', value: 'true', effect: 'NoSchedule' }],
    };
    return made;
  };
  const planes = Array.from({ length: controlPlane }, (_, at) => machine(`test-c${at + 1}`, 11 + at, false));
  const others = Array.from({ length: workers }, (_, at) => machine(`test-w${at + 1}`, 21 + at, true));
  if (options.workloads !== false) installWorkloads(world.kube.store, ports);
  for (const plane of planes)
    for (const name of CONTROL_PLANE_CONTAINERS) world.startContainer(plane, name, IMAGE);
  for (const each of [...planes, ...others]) world.startContainer(each, 'kubelet', IMAGE);
  return { world, controlPlane: planes, workers: others };
}

/** Moves the clock until `check` holds; false when it does not within `mostMs`. */
export function until(clock: ManualClock, check: () => boolean, mostMs = 20_000): boolean {
  for (let ms = 0; ms < mostMs; ms += 10) {
    if (check()) return true;
    clock.advance(10);
  }
  return check();
}

/** The same in real time. */
export async function eventually(
  check: () => boolean | Promise<boolean>,
  what: string,
  mostMs = 10_000,
): Promise<void> {
  for (let ms = 0; ms < mostMs; ms += 20) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${mostMs} ms: ${what}`);
}
