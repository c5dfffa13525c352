/** Makes the things happen that befall machines, far sides and people's files, and takes them back. */
import type { Setting } from '../outside/setting.ts';
import type { VirtualTime } from '../time.ts';
import type { Far } from '../wire.ts';
import type { Disturbance, EventKind } from './script.ts';

export interface Struck {
  setting: Setting;
  time: VirtualTime;
  away: Set<Far>;
  /** Address → since when its machine is in trouble; entries go some time after the trouble. */
  excused: Map<string, number>;
  clocks: { agentMs: number };
  rke: { endsInMs: number | undefined };
  queueTwice(): boolean;
  cancel(): boolean;
}

/** What was struck, and how it ends; undefined when there was nothing to strike. */
export type Strike = (
  struck: Struck,
  pick: number,
  forMs: number,
) => { what: string; end(): void } | undefined;

/** Stands for no machine: rke itself is what cannot be trusted. */
export const RKE = 'rke';
/** After a machine is back, its pods, its member and its heartbeat need this long. */
const RECOVERY_MS = 15_000;
/** A cordon that a person never takes back would only test the refusal. */
const KEPT_SHARE = 0.1;

const chosen = <T>(from: readonly T[], pick: number): T | undefined => from[Math.floor(pick * from.length)];

/** One machine at a time: two together are more than three members can bear, and no cycle could help it. */
function machineFor(
  { setting, excused, time }: Struck,
  pick: number,
  which: (name: string) => boolean = () => true,
) {
  if (excused.size > 0 || setting.etcd.members().some(({ running }) => !running)) return undefined;
  const machines = [...setting.world.machines.values()].filter(
    (machine) => machine.powered && machine.kubelet !== undefined && which(machine.name),
  );
  const machine = chosen(machines, pick);
  if (machine !== undefined) excused.set(machine.address, time.nowMs());
  return machine;
}

const recover = ({ time, excused }: Struck, address: string): void =>
  void time.after(RECOVERY_MS, () => void excused.delete(address));

const farAway =
  (far: Far): Strike =>
  ({ away }) => {
    if (away.has(far)) return undefined;
    away.add(far);
    return { what: far, end: () => void away.delete(far) };
  };

const dnsAway =
  (at: 0 | 1): Strike =>
  ({ setting }) => {
    const server = setting.zone.servers[at] ?? '';
    setting.zone.away.add(server);
    return { what: server, end: () => void setting.zone.away.delete(server) };
  };

export const STRIKES: Record<EventKind, Strike> = {
  'a node loses its power'(struck, pick) {
    const machine = machineFor(struck, pick);
    if (machine === undefined) return undefined;
    const { hosts } = struck.setting.world;
    void hosts.powerOff(machine.vmId, 'cut');
    return {
      what: machine.name,
      end() {
        const vm = hosts.vm(machine.vmId);
        // Whoever gives it its power back does not do so to one that was set aside.
        if (vm?.state === 'off' && vm.name === machine.name)
          void hosts.powerOn(machine.vmId).catch(() => undefined);
        recover(struck, machine.address);
      },
    };
  },
  'an apiserver goes away'(struck, pick) {
    const serving = struck.setting.world.kube.serving().map(({ name }) => name);
    const machine = machineFor(struck, pick, (name) => serving.includes(name));
    if (machine === undefined) return undefined;
    const { faults, machines } = struck.setting.world;
    faults.apply({ fault: 'apiserverAway', machine: machine.name });
    return {
      what: machine.name,
      end() {
        if (machines.has(machine.vmId))
          faults.apply({ fault: 'apiserverAway', machine: machine.name, on: false });
        recover(struck, machine.address);
      },
    };
  },
  'an etcd member stops'(struck, pick) {
    const { etcd } = struck.setting;
    const running = etcd.members().filter((member) => member.running);
    const machine = machineFor(struck, pick, (name) =>
      running.some((member) => member.name === `etcd-${name}`),
    );
    if (machine === undefined) return undefined;
    etcd.stop(machine.address);
    return {
      what: machine.name,
      end() {
        if (machine.up && machine.containers.has('etcd')) etcd.start(`etcd-${machine.name}`, machine.address);
        recover(struck, machine.address);
      },
    };
  },
  'the SSH of a node is silent'(struck, pick) {
    const machine = machineFor(struck, pick);
    if (machine === undefined) return undefined;
    machine.ssh = 'silent';
    return {
      what: machine.name,
      end() {
        machine.ssh = undefined;
        recover(struck, machine.address);
      },
    };
  },
  'the host goes away'({ setting: { bridge } }) {
    bridge.away = true;
    return { what: 'the host', end: () => void (bridge.away = false) };
  },
  'the bridge is killed'({ setting: { bridge } }) {
    if (!bridge.running) return undefined;
    bridge.kill();
    return { what: 'the bridge', end: () => void bridge.start() };
  },
  'a supervisor is killed'({ setting: { bridge } }) {
    const count = bridge.killSupervisors();
    return count === 0 ? undefined : { what: `${count} of them`, end: () => undefined };
  },
  'the proxy goes away': farAway('proxy'),
  'the DNS primary goes away': dnsAway(0),
  'the DNS secondary goes away': dnsAway(1),
  'git goes away': farAway('git'),
  'the GitOps repository goes away': farAway('gitops'),
  'the service goes away': farAway('service'),
  'a person cordons a node'(struck, pick) {
    const { world } = struck.setting;
    const node = chosen(world.kube.store.list('nodes'), pick);
    const address = world.machineNamed(node?.metadata.name ?? '')?.address;
    if (node === undefined || address === undefined || node.spec.unschedulable === true) return undefined;
    if (struck.excused.size > 0) return undefined;
    const { name } = node.metadata;
    struck.excused.set(address, struck.time.nowMs());
    const set = (on: boolean) =>
      void world.kube.store.change('nodes', name, undefined, (draft) => {
        if (on) draft.spec.unschedulable = true;
        else delete draft.spec.unschedulable;
      });
    set(true);
    return {
      what: name,
      end() {
        if (pick < KEPT_SHARE) return;
        set(false);
        recover(struck, address);
      },
    };
  },
  'a person edits cluster.yml'({ setting: { repo } }, pick) {
    const ends = pick < 0.5;
    repo.edit('cluster.yml', (text) => (ends ? `${text}# looked at\n` : text.replace('6h', '8h')), 'By hand');
    return {
      what: ends ? 'a comment' : 'the interval of snapshots',
      // A change that nobody applies is a reason to refuse; here its author thinks better of it.
      end: () =>
        repo.edit('cluster.yml', (text) => text.replace('creation: 8h', 'creation: 6h'), 'Taken back'),
    };
  },
  'a person pushes to GitOps'({ setting: { gitops } }) {
    gitops.edit('README.md', (text) => `${text}\nLooked at.\n`, 'By hand');
    return { what: 'a word in the README', end: () => undefined };
  },
  'a person edits the proxy'({ setting: { proxy } }, pick) {
    const path = chosen([...proxy.files.keys()], pick);
    if (path === undefined) return undefined;
    proxy.files.set(path, `${proxy.files.get(path) ?? ''}# looked at\n`);
    return { what: path, end: () => undefined };
  },
  'a person deletes a VM'(struck, pick) {
    const machine = machineFor(struck, pick);
    if (machine === undefined) return undefined;
    const { world } = struck.setting;
    void world.hosts.powerOff(machine.vmId, 'cut').then(() => {
      world.hosts.all.get(machine.host)?.vms.delete(machine.vmId);
    });
    // Nobody brings it back: the place of its address stays excused for ever.
    return { what: machine.name, end: () => undefined };
  },
  'a person queues twice': ({ queueTwice }) =>
    queueTwice() ? { what: 'a second run', end: () => undefined } : undefined,
  'a person cancels': ({ cancel }) => (cancel() ? { what: 'the run', end: () => undefined } : undefined),
  "the agent's clock jumps"({ clocks }, pick) {
    const ms = jump(pick);
    clocks.agentMs += ms;
    return { what: `by ${Math.round(ms / 1000)} s`, end: () => void (clocks.agentMs -= ms) };
  },
  "the host's clock jumps"({ setting: { bridge } }, pick) {
    const ms = jump(pick);
    bridge.skewMs += ms;
    return { what: `by ${Math.round(ms / 1000)} s`, end: () => void (bridge.skewMs -= ms) };
  },
  'rke lies about a member'(struck) {
    const { setting, excused, time } = struck;
    if (excused.size > 0) return undefined;
    // A member that is left behind is one that is down: no other machine may fall at the same time.
    excused.set(RKE, time.nowMs());
    const names = setting.input.example.nodes.map(({ name }) => `etcd-${name}`);
    const fails = new Set(names);
    setting.rke.faults = { etcdRemovalFails: fails };
    return {
      what: 'removals that fail',
      end() {
        fails.clear();
        recover(struck, RKE);
      },
    };
  },
  'rke ends in its middle'({ rke }, pick) {
    rke.endsInMs = Math.round(pick * 400);
    return { what: `after ${rke.endsInMs} ms`, end: () => void (rke.endsInMs = undefined) };
  },
  'the agent is a new one'({ setting: { agent } }) {
    agent.remove('/agent/state');
    return { what: 'its state directory is empty', end: () => undefined };
  },
};

/** From ten minutes back to an hour ahead, the small ones more often; rarely by more than the lock's limit. */
function jump(pick: number): number {
  if (pick < 0.45) return -Math.round(pick * 600_000);
  if (pick > 0.97) return 8 * 86_400_000;
  return Math.round((pick - 0.45) ** 2 * 12_000_000);
}

export function strike(struck: Struck, disturbance: Disturbance): { what: string; end(): void } | undefined {
  return STRIKES[disturbance.kind](struck, disturbance.pick, disturbance.forMs);
}
