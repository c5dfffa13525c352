/**
 * The kubelet of each machine that runs one: registers its Node when it starts (and only then), renews its lease,
 * runs the pods bound to it, and ends them with their grace.
 */
import type { Machine } from '../../world.ts';
import type { NodeObject } from '../objects.ts';
import { isReady } from '../objects.ts';
import { iso } from '../store.ts';
import type { ControllerContext } from './controllers.ts';
import { createPodRunner } from './podrunner.ts';

export const NOT_READY_TAINT = 'node.kubernetes.io/not-ready';
/** The pod that brings the node's network; a node is not Ready before it runs. */
export const NETWORK_APP = 'canal';

export function runKubelets(context: ControllerContext): void {
  const { world, store, timing } = context;
  const agents = new Map<string, { stop(): void; sync(): void; machine: Machine }>();
  const runner = createPodRunner(context, (machine) => agents.has(machine.vmId));

  const start = (machine: Machine): void => {
    if (agents.has(machine.vmId) || machine.kubelet === undefined) return;
    const settings = machine.kubelet;
    const { nodeName } = settings;
    let alive = true;
    let registered = false;
    const beat = (): void => {
      if (!alive) return;
      world.clock.after(timing.heartbeat, beat);
      if (!context.apiAlive()) return;
      if (!registered) {
        register(context, machine);
        registered = true;
      }
      renewLease(context, nodeName);
      postReady(context, machine, runner.networkRuns(machine));
      // What happened while no apiserver answered is seen now.
      sync();
    };
    const sync = (): void => {
      if (alive && context.apiAlive()) runner.sync(machine, nodeName);
    };
    agents.set(machine.vmId, { stop: () => (alive = false), sync, machine });
    beat();
  };
  const stop = (machine: Machine): void => {
    agents.get(machine.vmId)?.stop();
    agents.delete(machine.vmId);
  };

  world.on((event) => {
    if (event.kind === 'machine.down') {
      stop(event.machine);
      runner.cut(event.machine);
    } else if (event.kind === 'container.started' && event.container === 'kubelet') {
      // Re-created by rke with other settings: a new kubelet registers anew.
      stop(event.machine);
      start(event.machine);
    } else if (event.kind === 'container.stopped' && event.container === 'kubelet') stop(event.machine);
  });
  store.on(({ resource, object }) => {
    if (resource !== 'pods') return;
    const nodeName = (object as { spec?: { nodeName?: string } }).spec?.nodeName;
    if (nodeName === undefined) return;
    for (const agent of agents.values()) {
      if (agent.machine.kubelet?.nodeName === nodeName) {
        context.later(`kubelet/${agent.machine.vmId}`, 1, agent.sync);
      }
    }
  });
}

function register(context: ControllerContext, machine: Machine): void {
  const { store, kube, world } = context;
  const {
    nodeName,
    labels = {},
    taints = [],
    version = kube.version,
    registeredAtMs,
  } = machine.kubelet ?? { nodeName: machine.name };
  const now = iso(world.clock.nowMs());
  const known = {
    'beta.kubernetes.io/arch': 'amd64',
    'beta.kubernetes.io/os': 'linux',
    'kubernetes.io/arch': 'amd64',
    'kubernetes.io/os': 'linux',
    'kubernetes.io/hostname': nodeName,
  };
  const status: NodeObject['status'] = {
    capacity: { cpu: '2', memory: '4Gi', pods: '110', 'ephemeral-storage': '40Gi' },
    allocatable: { cpu: '2', memory: '3900Mi', pods: '110', 'ephemeral-storage': '36Gi' },
    addresses: [
      { type: 'InternalIP', address: machine.address },
      { type: 'Hostname', address: nodeName },
    ],
    nodeInfo: {
      machineID: machine.vmId.replaceAll('-', ''),
      systemUUID: machine.vmId,
      bootID: machine.vmId,
      kernelVersion: '5.15.0-91-generic',
      osImage: 'Ubuntu 22.04.3 LTS',
      containerRuntimeVersion: `docker://${machine.dockerVersion}`,
      kubeletVersion: version,
      kubeProxyVersion: version,
      operatingSystem: 'linux',
      architecture: 'amd64',
    },
    conditions: [
      { type: 'NetworkUnavailable', status: 'False', reason: 'CanalIsUp', lastTransitionTime: now },
      {
        type: 'MemoryPressure',
        status: 'False',
        reason: 'KubeletHasSufficientMemory',
        lastTransitionTime: now,
      },
      { type: 'DiskPressure', status: 'False', reason: 'KubeletHasNoDiskPressure', lastTransitionTime: now },
      { type: 'PIDPressure', status: 'False', reason: 'KubeletHasSufficientPID', lastTransitionTime: now },
      networkPending(now),
    ],
  };
  if (store.get('nodes', nodeName) === undefined) {
    store.create('nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: nodeName,
        labels: { ...known, ...labels },
        ...(registeredAtMs === undefined ? {} : { creationTimestamp: iso(registeredAtMs) }),
        annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
      },
      spec: { taints: [{ key: NOT_READY_TAINT, effect: 'NoSchedule' }, ...taints] },
      status,
    });
    return;
  }
  store.change('nodes', nodeName, undefined, (node) => {
    node.metadata.labels = { ...node.metadata.labels, ...known, ...labels };
    const ready = node.status.conditions?.find(({ type }) => type === 'Ready');
    node.status = {
      ...node.status,
      ...status,
      conditions: [...(status.conditions ?? []).slice(0, -1), ready ?? networkPending(now)],
    };
  });
}

const networkPending = (now: string) => ({
  type: 'Ready',
  status: 'False' as const,
  reason: 'KubeletNotReady',
  message:
    'runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:docker: network plugin is not ready: cni config uninitialized',
  lastTransitionTime: now,
});

function renewLease({ store, world }: ControllerContext, nodeName: string): void {
  const renewTime = new Date(world.clock.nowMs()).toISOString().replace('Z', '000Z');
  const renewed = store.change('leases', nodeName, 'kube-node-lease', (lease) => {
    lease['spec'] = { holderIdentity: nodeName, leaseDurationSeconds: 40, renewTime };
  });
  if (renewed !== undefined) return;
  const node = store.get('nodes', nodeName);
  if (node === undefined) return;
  store.create('leases', {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: nodeName,
      namespace: 'kube-node-lease',
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid }],
    },
    spec: { holderIdentity: nodeName, leaseDurationSeconds: 40, renewTime },
  });
}

/** A kubelet whose Node was deleted under it writes nothing: it registers only when it starts. */
function postReady({ store, world }: ControllerContext, machine: Machine, network: boolean): void {
  const nodeName = machine.kubelet?.nodeName ?? machine.name;
  const node = store.get('nodes', nodeName);
  if (node === undefined) return;
  const before = node.status.conditions?.find(({ type }) => type === 'Ready');
  if (before?.status !== 'Unknown' && isReady(node) === network) return;
  const now = iso(world.clock.nowMs());
  const condition = network
    ? {
        type: 'Ready',
        status: 'True' as const,
        reason: 'KubeletReady',
        message: 'kubelet is posting ready status',
        lastTransitionTime: now,
        lastHeartbeatTime: now,
      }
    : networkPending(now);
  store.change('nodes', nodeName, undefined, (draft) => {
    draft.status.conditions = [
      ...(draft.status.conditions ?? []).filter(({ type }) => type !== 'Ready'),
      condition,
    ];
  });
}
