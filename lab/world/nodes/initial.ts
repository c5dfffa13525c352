/** The world as the story begins: the example's VMs on their hosts, and the cluster up on them. */
import type { ExampleInput } from '../../example.ts';
import type { LabWorld } from '../create.ts';
import { followMachines } from '../etcd/machines.ts';
import type { Program } from '../rke/defaults.ts';
import { establish } from '../rke/established.ts';
import type { Established } from '../rke/established.ts';
import type { RkeSurroundings } from '../rke/run.ts';
import type { EtcdCluster } from '../world.ts';
import { imageContent } from '../../example.ts';

export interface InitialWorld extends Established {
  /** For `rkeHandler` and `rke`. */
  rke: RkeSurroundings;
}

export interface InitialOptions {
  program?: Program | undefined;
  pace?: number | undefined;
}

/** Resolves when etcd is healthy and every container runs; Nodes turn Ready once the network's pods run (`installWorkloads`). */
export async function initialWorld(
  example: ExampleInput,
  world: LabWorld,
  etcd: EtcdCluster,
  options: InitialOptions = {},
): Promise<InitialWorld> {
  for (const node of example.nodes)
    world.hosts.addVm({
      host: node.host,
      name: node.name,
      address: node.address,
      mac: node.mac,
      notes: node.notes ?? '',
      createdAtMs: node.createdAtMs,
      startAction: 'start',
      startDelaySeconds: 30,
      sshHostKey: node.sshHostKey,
      authorizedKeys: [example.nodeKey.public],
      content: imageContent(),
    });
  const rke: RkeSurroundings = {
    world,
    etcd,
    ports: { ssh: example.ports.ssh, api: example.ports.api },
    ...options,
  };
  const ages = new Map(example.nodes.map((node) => [node.address, node.createdAtMs]));
  const established = await establish(rke, example.clusterYml, (address) => ages.get(address));
  followMachines(world, etcd, (address) => {
    const machine =
      world.machineAt(address) ?? [...world.machines.values()].find((one) => one.address === address);
    return machine === undefined ? undefined : `etcd-${machine.kubelet?.nodeName ?? machine.name}`;
  });
  return { ...established, rke };
}
