/**
 * The modelled etcd as the world's `EtcdCluster`. Where its members listen, if they do, is the caller's: `open` and
 * `shut` are told when the process on an address begins and ends.
 */
import type { EtcdCluster, WorldClock } from '../world.ts';
import type { EtcdAnswer, EtcdModel } from './model.ts';

export interface Doors {
  open(address: string): Promise<void>;
  shut(address: string): Promise<void>;
}

/** etcd refuses changes for some seconds after a start; whoever asks for one tries again for so long. */
const PATIENCE_MS = 9_000;
const AGAIN_MS = 50;

export function modelledCluster(model: EtcdModel, clock: WorldClock, doors: Doors): EtcdCluster {
  const names = new Map<string, string>();
  const opened = new Set<string>();
  const open = async (address: string): Promise<void> => {
    if (opened.has(address)) return;
    opened.add(address);
    await doors.open(address);
  };
  const shut = async (address: string): Promise<void> => {
    if (opened.delete(address)) await doors.shut(address);
  };
  model.onRemoved((address) => void shut(address));

  const addressOf = (name: string) =>
    [...names].find(([, known]) => known === name)?.[0] ??
    model.members().find((member) => member.name === name)?.address;

  function expectOk(answer: EtcdAnswer): void {
    if (answer.status !== 200) throw new Error(`etcd answered ${answer.body}`);
  }
  /** As rke's caller would see it: etcd's refusals of the first seconds pass by themselves. */
  async function whenReady(change: () => EtcdAnswer): Promise<void> {
    const endMs = clock.nowMs() + PATIENCE_MS;
    let answer = change();
    while (answer.status === 503 && clock.nowMs() < endMs) {
      await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve));
      answer = change();
    }
    expectOk(answer);
  }

  return {
    kind: 'stand-in',
    version: model.version,
    async bootstrap(first) {
      model.bootstrap(first);
      for (const { name, address } of first) names.set(address, name);
      await Promise.all(first.map(({ address }) => open(address)));
    },
    members: () =>
      Promise.resolve(
        model
          .members()
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .map((member) => ({
            id: String(member.id),
            name: member.name,
            address: member.address,
            isLearner: member.isLearner,
            started: member.name !== '',
            healthy: member.running && model.leader() !== undefined,
          })),
      ),
    async memberAdd(name, address) {
      await whenReady(() => model.add(address));
      names.set(address, name);
    },
    async memberRemove(name) {
      const address = addressOf(name);
      const found = model.members().find((member) => member.address === address);
      if (found === undefined) throw new Error(`etcdserver: member not found: ${name}`);
      await whenReady(() => model.remove(found.id));
    },
    async start(name, address) {
      if (!model.start(name, address))
        throw new Error(`etcd ${name} on ${address} was never added to the cluster, or was removed from it`);
      names.set(address, name);
      await open(address);
    },
    async stop(name) {
      const address = addressOf(name);
      if (address === undefined) return;
      model.stop(address);
      await shut(address);
    },
    healthy: (address) =>
      Promise.resolve(
        model.leader() !== undefined &&
          model.members().some((member) => member.address === address && member.running),
      ),
    async close() {
      await Promise.all([...opened].map(shut));
    },
  };
}
