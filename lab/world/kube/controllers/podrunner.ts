/**
 * Pods as containers on a machine: started when bound to its node, ended with preStop, SIGTERM and grace. A process
 * goes on without its kubelet and without its object, until its machine loses power.
 */
import type { Machine, Timer } from '../../world.ts';
import type { PodProcess } from '../kube.ts';
import type { PodObject } from '../objects.ts';
import { iso } from '../store.ts';
import type { ControllerContext } from './controllers.ts';
import { NETWORK_APP } from './kubelet.ts';

export interface PodRunner {
  sync(machine: Machine, nodeName: string): void;
  /** The power is gone: everything on the machine ends at once. */
  cut(machine: Machine): void;
  networkRuns(machine: Machine): boolean;
}

/** Pods with a `preStop` go on serving for `timing.preStop`, or as long as this annotation says, in milliseconds. */
export const PRE_STOP_MS = 'lab/pre-stop-ms';

export function createPodRunner(
  context: ControllerContext,
  hasKubelet: (machine: Machine) => boolean,
): PodRunner {
  const { world, store, timing, kube } = context;
  const { processes } = kube;
  const starting = new Set<string>();
  const ending = new Map<string, { sigterm: Timer; deadline: Timer }>();
  const nextIp = new Map<string, number>();

  const ipOf = (pod: PodObject, machine: Machine): string => {
    if (pod.spec.hostNetwork === true) return machine.address;
    const subnet = [...world.machines.keys()].indexOf(machine.vmId) % 256;
    const n = ((nextIp.get(machine.vmId) ?? 1) % 253) + 1;
    nextIp.set(machine.vmId, n);
    return `10.42.${subnet}.${n}`;
  };

  const start = (pod: PodObject, machine: Machine): void => {
    const { uid, name, namespace = 'default' } = pod.metadata;
    starting.add(uid);
    world.clock.after(timing.podStart, () => {
      starting.delete(uid);
      const current = store.get('pods', name, namespace);
      if (!machine.up || !hasKubelet(machine) || current?.metadata.uid !== uid) return;
      const process: PodProcess = {
        uid,
        namespace,
        name,
        labels: pod.metadata.labels ?? {},
        machine,
        nodeName: pod.spec.nodeName ?? '',
        podIP: ipOf(pod, machine),
        pod: current,
        state: 'running',
      };
      processes.all.set(uid, process);
      processes.tell({ kind: 'started', process });
      report(process, false);
      world.clock.after(timing.podReady, () => {
        if (process.state === 'running' && processes.all.get(uid) === process) report(process, true);
      });
    });
  };

  const report = (process: PodProcess, ready: boolean): void => {
    const now = iso(world.clock.nowMs());
    if (!context.apiAlive()) {
      world.clock.after(timing.heartbeat, () => {
        if (processes.all.get(process.uid) === process && process.state === 'running') report(process, ready);
      });
      return;
    }
    const { name, namespace, uid } = process;
    if (store.get('pods', name, namespace)?.metadata.uid !== uid) return;
    store.change('pods', name, namespace, (draft) => {
      const flag = ready ? ('True' as const) : ('False' as const);
      draft.status = {
        ...draft.status,
        phase: 'Running',
        hostIP: process.machine.address,
        podIP: process.podIP,
        podIPs: [{ ip: process.podIP }],
        startTime: draft.status.startTime ?? now,
        conditions: [
          { type: 'Initialized', status: 'True', lastTransitionTime: now },
          { type: 'Ready', status: flag, lastTransitionTime: now },
          { type: 'ContainersReady', status: flag, lastTransitionTime: now },
          { type: 'PodScheduled', status: 'True', lastTransitionTime: now },
        ],
        containerStatuses: draft.spec.containers.map((container) => ({
          name: container.name,
          image: container.image,
          ready,
          restartCount: 0,
          state: { running: { startedAt: now } },
        })),
      } as PodObject['status'];
    });
  };

  const stop = (process: PodProcess, pod: PodObject | undefined): void => {
    if (kube.stuck.has(`${process.namespace}/${process.name}`) && pod !== undefined) return;
    const known = ending.get(process.uid);
    const graceMs = (pod?.metadata.deletionGracePeriodSeconds ?? 0) * timing.graceSecond;
    const kill = () => ended(process, 'kill');
    if (known !== undefined) {
      // Deleted again with less grace, or by force.
      if (pod === undefined) kill();
      return;
    }
    if (pod === undefined) {
      ended(process, 'kill');
      return;
    }
    const waits = pod.spec.containers.some((container) => container.lifecycle?.['preStop'] !== undefined);
    const asked = pod.metadata.annotations?.[PRE_STOP_MS];
    const preStopMs = asked !== undefined ? Number(asked) : waits ? timing.preStop : 0;
    ending.set(process.uid, {
      deadline: world.clock.after(Math.max(graceMs, 1), kill),
      sigterm: world.clock.after(Math.min(preStopMs, graceMs), () => {
        process.state = 'stopping';
        processes.tell({ kind: 'stopping', process });
        const exit = () => world.clock.after(timing.exit, () => ended(process, 'exit'));
        if (process.finish === undefined) exit();
        else process.finish(exit);
      }),
    });
  };

  const forget = (process: PodProcess, how: 'exit' | 'kill' | 'cut'): boolean => {
    const timers = ending.get(process.uid);
    timers?.sigterm.cancel();
    timers?.deadline.cancel();
    ending.delete(process.uid);
    if (!processes.all.delete(process.uid)) return false;
    process.state = 'stopping';
    processes.tell({ kind: 'stopped', process, how });
    return true;
  };

  const ended = (process: PodProcess, how: 'exit' | 'kill'): void => {
    if (!forget(process, how)) return;
    removeObject(process);
  };

  /** The kubelet's last word about a pod: its object goes. */
  const removeObject = ({ name, namespace, uid, machine }: PodProcess): void => {
    if (!hasKubelet(machine)) return;
    if (!context.apiAlive()) {
      world.clock.after(timing.heartbeat, () =>
        removeObject({ name, namespace, uid, machine } as PodProcess),
      );
      return;
    }
    if (store.get('pods', name, namespace)?.metadata.uid !== uid) return;
    store.remove('pods', name, namespace, { graceSeconds: 0 });
  };

  return {
    sync(machine, nodeName) {
      const bound = new Map<string, PodObject>();
      for (const pod of store.list('pods'))
        if (pod.spec.nodeName === nodeName) bound.set(pod.metadata.uid, pod);
      for (const pod of bound.values()) {
        const process = processes.all.get(pod.metadata.uid);
        const leaving = pod.metadata.deletionTimestamp !== undefined;
        if (process === undefined && !starting.has(pod.metadata.uid)) {
          if (!leaving) start(pod, machine);
          // Nothing of it runs here (any more): the object may go.
          else store.remove('pods', pod.metadata.name, pod.metadata.namespace, { graceSeconds: 0 });
        } else if (process !== undefined && leaving) stop(process, pod);
      }
      for (const process of [...processes.all.values()]) {
        if (process.machine === machine && !bound.has(process.uid)) stop(process, undefined);
      }
    },
    cut(machine) {
      for (const process of [...processes.all.values()])
        if (process.machine === machine) forget(process, 'cut');
    },
    networkRuns(machine) {
      const installed = store
        .list('daemonsets', 'kube-system')
        .some(({ metadata }) => metadata.name === NETWORK_APP);
      if (!installed) {
        const since = machine.containers.get('kubelet')?.startedAtMs ?? 0;
        return world.clock.nowMs() - since >= timing.networkReady;
      }
      return [...processes.all.values()].some(
        (p) => p.machine === machine && p.labels['k8s-app'] === NETWORK_APP,
      );
    },
  };
}
