/**
 * The model of the outside world, as its parts see each other: machines (a VM's guest), the Kubernetes
 * objects, etcd, the Hyper-V hosts. Rules live in the modules beside this file; sockets and executables live
 * in lab/servers and hold none. Time and chance are the world's own, so that one seed gives one story.
 */

export interface Timer {
  cancel(): void;
}

/** Real timers in the lab; virtual ones in a simulation. */
export interface WorldClock {
  nowMs(): number;
  after(delayMs: number, what: () => void): Timer;
}

/** The guest of one VM. */
export interface Machine {
  readonly vmId: string;
  readonly host: string;
  /** Host name of the guest; the Node's name once it has joined. */
  name: string;
  address: string;
  mac: string;
  powered: boolean;
  /** SSH and containers answer only when true: powered, and boot has ended. */
  up: boolean;
  /** OpenSSH private key and its public line `type base64`. */
  sshHostKey: { private: string; public: string };
  /** `silent`: accepts connections to SSH and says nothing. */
  ssh?: 'silent' | undefined;
  /** Public lines `type base64` that may log in. */
  authorizedKeys: string[];
  dockerVersion: string;
  images: Set<string>;
  /** Running containers by name: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, nginx-proxy … */
  containers: Map<string, { image: string; startedAtMs: number }>;
  files: Map<string, Uint8Array>;
  /** What the kubelet container was started with; set it before the container starts. */
  kubelet?: KubeletSettings | undefined;
}

/** `--hostname-override`, `--node-labels`, `--register-with-taints`, and the version that the kubelet reports. */
export interface KubeletSettings {
  nodeName: string;
  labels?: Record<string, string> | undefined;
  taints?:
    { key: string; value?: string; effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute' }[] | undefined;
  version?: string | undefined;
  /** creationTimestamp of the Node on its first registration; now, when absent. */
  registeredAtMs?: number | undefined;
}

/** What the world's parts tell each other. */
export type WorldEvent =
  | { kind: 'machine.up' | 'machine.down'; machine: Machine }
  | { kind: 'container.started' | 'container.stopped'; machine: Machine; container: string }
  | { kind: 'apiserver.away' | 'apiserver.back'; machine: Machine }
  | { kind: 'etcd.changed' }
  | { kind: 'kube.changed'; resource: string; name: string; namespace?: string | undefined };

/** An etcd cluster: real processes, or a model with the same answers. Ids are decimal strings, as in the JSON gateway. */
export interface EtcdCluster {
  readonly kind: 'real' | 'stand-in';
  readonly version: string;
  /** Starts the first members together. */
  bootstrap(members: { name: string; address: string }[]): Promise<void>;
  members(): Promise<
    { id: string; name: string; address: string; isLearner: boolean; healthy: boolean; started: boolean }[]
  >;
  memberAdd(name: string, address: string): Promise<void>;
  memberRemove(name: string): Promise<void>;
  /** The member's process on its machine. */
  start(name: string, address: string): Promise<void>;
  stop(name: string, how: 'term' | 'kill'): Promise<void>;
  /** Whether the member on this address answers as healthy. */
  healthy(address: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface World {
  readonly clock: WorldClock;
  /** Seeded, 0 ≤ x < 1. */
  random(): number;
  readonly cluster: string;
  readonly machines: Map<string, Machine>;
  machineAt(address: string): Machine | undefined;
  emit(event: WorldEvent): void;
  on(listener: (event: WorldEvent) => void): void;
}
