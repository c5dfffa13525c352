/**
 * The cluster as its API shows it: the objects, the HTTP handler over them, the controllers that move them, and the
 * processes of pods on the machines, which may outlive their objects.
 */
import type { Timing } from '../timing.ts';
import type { Machine, World } from '../world.ts';
import { createControllers } from './controllers/controllers.ts';
import { handleRequest } from './handle.ts';
import type { KubeRequest, KubeResponse } from './handle.ts';
import type { PodObject } from './objects.ts';
import { createStore } from './store.ts';
import type { Store } from './store.ts';

/** The containers of one pod on one machine. Without a kubelet nobody ends it but the machine's power. */
export interface PodProcess {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly machine: Machine;
  readonly nodeName: string;
  readonly podIP: string;
  readonly pod: PodObject;
  /** `stopping`: it has had its SIGTERM: it takes no new connection and ends what it has. */
  state: 'running' | 'stopping';
  /** Calls back when nothing is in flight; absent: at once. */
  finish?: ((done: () => void) => void) | undefined;
}

export interface ProcessEvent {
  kind: 'started' | 'stopping' | 'stopped';
  process: PodProcess;
  /** For stopped: `exit` by itself, `kill` past its grace, `cut` with the machine's power. */
  how?: 'exit' | 'kill' | 'cut' | undefined;
}

export interface Processes {
  readonly all: Map<string, PodProcess>;
  on(listener: (event: ProcessEvent) => void): void;
  tell(event: ProcessEvent): void;
}

export interface Kube {
  readonly store: Store;
  readonly processes: Processes;
  /** `gitVersion` that the apiserver and new kubelets report. */
  version: string;
  /** One request of the API, as the given machine's apiserver (any, when absent) would answer it. */
  handle(request: KubeRequest): KubeResponse;
  /** Whether etcd takes writes; the model of etcd sets it. */
  setStorage(check: () => boolean): void;
  storageOk(): boolean;
  /** The apiserver of this machine answers: up, its container running, not taken away by a fault. */
  serves(machine: Machine): boolean;
  /** Machines whose apiserver answers. */
  serving(): Machine[];
  /** apiservers that a fault has taken away, by vmId. */
  readonly away: Set<string>;
  /** `namespace/name` of pods that do not end: only `--force --grace-period=0` removes their object. */
  readonly stuck: Set<string>;
  close(): void;
}

export function createKube(world: World, timing: Timing, version: string): Kube {
  const store = createStore(() => world.clock.nowMs(), world.random);
  const away = new Set<string>();
  let storage: () => boolean = () => true;
  const listeners = new Set<(event: ProcessEvent) => void>();
  const serves = (machine: Machine): boolean =>
    machine.up && machine.containers.has('kube-apiserver') && !away.has(machine.vmId);
  const kube: Kube = {
    store,
    version,
    processes: {
      all: new Map(),
      on: (listener) => void listeners.add(listener),
      tell(event) {
        for (const listener of [...listeners]) listener(event);
      },
    },
    handle: (request) =>
      handleRequest(
        {
          store,
          version: kube.version,
          storageOk: storage,
          nowMs: () => world.clock.nowMs(),
          after: world.clock.after,
        },
        request,
      ),
    setStorage(check) {
      storage = check;
    },
    storageOk: () => storage(),
    serves,
    serving: () => [...world.machines.values()].filter(serves),
    away,
    stuck: new Set(),
    close: () => controllers.close(),
  };
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) {
    store.create('namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    });
  }
  store.on(({ resource, object }) =>
    world.emit({
      kind: 'kube.changed',
      resource,
      name: object.metadata.name,
      namespace: object.metadata.namespace,
    }),
  );
  const controllers = createControllers({ world, timing, kube, store });
  return kube;
}
