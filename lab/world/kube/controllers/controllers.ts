/**
 * What moves the cluster: kubelets on their machines, and the controllers of kube-controller-manager and
 * kube-scheduler, which act only while one of each runs somewhere and an apiserver answers. Each is driven by
 * events and does nothing while nothing changes.
 */
import type { Timing } from '../../timing.ts';
import type { Machine, Timer, World } from '../../world.ts';
import type { Kube } from '../kube.ts';
import type { Store } from '../store.ts';
import { watchBudgets } from './budgets.ts';
import { watchDaemonSets } from './daemonsets.ts';
import { watchDeployments } from './deployments.ts';
import { watchEndpoints } from './endpoints.ts';
import { runKubelets } from './kubelet.ts';
import { watchNodes } from './nodes.ts';
import { watchPending } from './scheduler.ts';

export interface ControllerContext {
  world: World;
  timing: Timing;
  kube: Kube;
  store: Store;
  /** An apiserver answers and takes writes. */
  apiAlive(): boolean;
  /** A controller manager or scheduler runs and reaches an apiserver. */
  runs(component: 'kube-controller-manager' | 'kube-scheduler'): boolean;
  /** Runs `what` once after the delay; asking again before that changes nothing. */
  later(key: string, delayMs: number, what: () => void): void;
  between(leastMs: number, mostMs: number): number;
}

export function createControllers(parts: { world: World; timing: Timing; kube: Kube; store: Store }): {
  close(): void;
} {
  const { world, timing, kube } = parts;
  const queued = new Map<string, Timer>();
  let closed = false;
  const running = (machine: Machine, name: string): boolean => machine.up && machine.containers.has(name);
  const context: ControllerContext = {
    ...parts,
    apiAlive: () => kube.storageOk() && [...world.machines.values()].some(kube.serves),
    runs: (component) =>
      context.apiAlive() && [...world.machines.values()].some((machine) => running(machine, component)),
    later(key, delayMs, what) {
      if (closed || queued.has(key)) return;
      queued.set(
        key,
        world.clock.after(delayMs, () => {
          queued.delete(key);
          if (!closed) what();
        }),
      );
    },
    between: (leastMs, mostMs) => leastMs + world.random() * (mostMs - leastMs),
  };
  runKubelets(context);
  const everything = [
    watchPending(context),
    watchDaemonSets(context),
    watchDeployments(context),
    watchEndpoints(context),
    watchBudgets(context),
  ];
  watchNodes(context);
  /** Whoever was away looks at everything when he is back, as an informer lists anew. */
  const relist = (): void => {
    context.later('relist', timing.controller, () => {
      for (const look of everything) look();
    });
  };
  world.on((event) => {
    if (event.kind === 'container.started' || event.kind === 'machine.up' || event.kind === 'etcd.changed')
      relist();
  });
  return {
    close() {
      closed = true;
      for (const timer of queued.values()) timer.cancel();
      queued.clear();
    },
  };
}
