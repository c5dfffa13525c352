/**
 * The lab's world: hosts with their VMs, the guests, the cluster's API with its controllers, the workloads.
 * Everything here is a model in one process; lab/servers puts it on sockets.
 */
import { realClock } from './clock.ts';
import { createFaults } from './faults.ts';
import type { Faults } from './faults.ts';
import { createHosts } from './hosts/hosts.ts';
import type { HostSpec, Hosts } from './hosts/hosts.ts';
import { createKube } from './kube/kube.ts';
import type { Kube } from './kube/kube.ts';
import { timing as timingOf } from './timing.ts';
import type { Timing } from './timing.ts';
import type { Machine, World, WorldClock, WorldEvent } from './world.ts';

export interface WorldOptions {
  cluster: string;
  /** One seed, one story. */
  seed: number;
  hosts: HostSpec[];
  /** Real timers when absent. */
  clock?: WorldClock | undefined;
  timing?: Timing | undefined;
  /** What kubelets report unless told otherwise. */
  kubernetesVersion?: string | undefined;
}

export interface LabWorld extends World {
  readonly timing: Timing;
  readonly kube: Kube;
  readonly hosts: Hosts;
  readonly faults: Faults;
  /** Calls per component, for the report: kubernetes, etcd, rke, bridge-engine, ssh, ingress … */
  readonly calls: Map<string, number>;
  count(component: string): void;
  /** Containers of a guest, as RKE and the kubelet's Docker start and end them. Both tell the world. */
  startContainer(machine: Machine, name: string, image: string): void;
  stopContainer(machine: Machine, name: string): void;
  /** A member of the cluster by its address or Node name. */
  machineNamed(name: string): Machine | undefined;
  close(): void;
}

export const DEFAULT_KUBERNETES = 'v1.20.15';

export function createWorld(options: WorldOptions): LabWorld {
  const own = options.clock === undefined ? realClock() : undefined;
  const clock = options.clock ?? own ?? realClock();
  const listeners = new Set<(event: WorldEvent) => void>();
  const random = mulberry32(options.seed);
  const machines = new Map<string, Machine>();
  const calls = new Map<string, number>();
  const timing = options.timing ?? timingOf();

  const base: World = {
    clock,
    random,
    cluster: options.cluster,
    machines,
    machineAt: (address) =>
      [...machines.values()].find((machine) => machine.address === address && machine.powered),
    emit(event) {
      for (const listener of [...listeners]) listener(event);
    },
    on: (listener) => void listeners.add(listener),
  };
  const hosts = createHosts(base, timing, options.hosts);
  const kube = createKube(base, timing, options.kubernetesVersion ?? DEFAULT_KUBERNETES);
  const world: LabWorld = Object.assign(base, {
    timing,
    kube,
    hosts,
    calls,
    faults: createFaults({ world: base, hosts, kube }),
    count: (component: string) => void calls.set(component, (calls.get(component) ?? 0) + 1),
    startContainer(machine: Machine, name: string, image: string) {
      machine.containers.set(name, { image, startedAtMs: clock.nowMs() });
      base.emit({ kind: 'container.started', machine, container: name });
    },
    stopContainer(machine: Machine, name: string) {
      if (!machine.containers.delete(name)) return;
      base.emit({ kind: 'container.stopped', machine, container: name });
    },
    machineNamed: (name: string) =>
      [...machines.values()].find(
        (m) => m.address === name || m.kubelet?.nodeName === name || m.name === name,
      ),
    close() {
      kube.close();
      own?.close();
    },
  });
  return world;
}

/** A small seeded generator; 0 ≤ x < 1. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
