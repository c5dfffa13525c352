/** What must be true when a cycle is said to be finished, or taken back. */
import type { Setting } from '../outside/setting.ts';
import { upstreamsOf } from '../outside/proxy.ts';
import { addressesIn } from '../outside/setting.ts';
import { seenOf, type Seen } from './seen.ts';

export function judgeEnd(
  setting: Setting,
  pair: { oldNode: string; newNode: string } | undefined,
  excused: ReadonlyMap<string, number>,
  violate: (name: string, what: string) => void,
): void {
  if (pair === undefined) return;
  const seen = seenOf(setting, excused);
  const { oldNode } = pair;
  const address =
    setting.input.example.nodes.find(({ name }) => name === oldNode)?.address ??
    seen.vms.find(({ name }) => name.startsWith(`${oldNode}-set-aside-`) || name === oldNode)?.address;
  if (address !== undefined)
    for (const left of leftOvers(setting, seen, { name: oldNode, address }))
      violate('nothing of a replaced node is left', left);
  for (const line of unpinned(setting, seen)) violate('every node has its host key in known_hosts', line);
  const running = seen.vms.filter(({ state }) => state === 'running').length;
  if (excused.size === 0 && running !== seen.steadyVms)
    violate('no VM but the steady ones is left', `${running} run, ${seen.steadyVms} are steady`);
}

/** Where a node still stands: asked of every place that knew it. */
export function leftOvers(setting: Setting, seen: Seen, node: { name: string; address: string }): string[] {
  const { repo, gitops, proxy, zone, agent } = setting;
  const { name, address } = node;
  const tip = repo.tip().files;
  const left: string[] = [];
  const note = (is: boolean, where: string) => {
    if (is) left.push(where);
  };
  note(
    seen.nodes.some((one) => one.name === name),
    `Kubernetes has the Node ${name}`,
  );
  note(
    seen.members.some((member) => member.address === address),
    `etcd has a member at ${address}`,
  );
  note(
    seen.intent.some((entry) => entry.address === address),
    `cluster.yml names ${address}`,
  );
  note((tip.get('known_hosts') ?? '').includes(`${address}]`), `known_hosts names ${address}`);
  note(addressesIn(gitops.tip().files).includes(address), `the ingress values name ${address}`);
  note(
    [...upstreamsOf(proxy.files).values()].flat().some(({ host }) => host === address),
    `nginx names ${address}`,
  );
  for (const record of zone.records())
    note(record.data === address || record.data.startsWith(`${name}.`), `${record.name} is ${record.data}`);
  note(
    (agent.text('/agent/state/cluster.rkestate') ?? '').includes(`"${address}"`),
    `rke's state names ${address}`,
  );
  note(
    seen.vms.some((vm) => vm.address === address && vm.state === 'running'),
    `the VM of ${name} runs`,
  );
  return left;
}

export function unpinned(setting: Setting, seen: Seen): string[] {
  const lines = setting.repo.tip().files.get('known_hosts') ?? '';
  const port = setting.input.example.ports.ssh;
  return seen.nodes.flatMap(({ name, address }) => {
    const machine = setting.world.machineAt(address);
    if (machine === undefined) return [];
    return lines.includes(`[${address}]:${port} ${machine.sshHostKey.public}`)
      ? []
      : [`known_hosts has not the key of ${name} at ${address}`];
  });
}
