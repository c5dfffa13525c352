/** etcd and the machines that it runs on: certificates from a machine's files, and life and death with its power. */
import { etcdCertName } from '../certs/bundle.ts';
import type { EtcdCluster, World } from '../world.ts';

export interface EtcdMaterial {
  caPem: string;
  certPem: string;
  keyPem: string;
}

const SSL = '/etc/kubernetes/ssl';

/** What rke put on the machine for its etcd. Throws when there is no such machine or no such file. */
export function etcdMaterial(world: World, address: string): EtcdMaterial {
  const machine = world.machineAt(address);
  const text = (name: string): string => {
    const bytes = machine?.files.get(`${SSL}/${name}`);
    if (bytes === undefined) throw new Error(`no ${SSL}/${name} on ${address}: rke has not deployed it`);
    return Buffer.from(bytes).toString('utf8');
  };
  const own = etcdCertName(address);
  return { caPem: text('kube-ca.pem'), certPem: text(`${own}.pem`), keyPem: text(`${own}-key.pem`) };
}

/**
 * Kills a machine's member when its power goes, and starts it again after boot when Docker would
 * (its container was there). `nameOf` gives the member's name for a machine.
 */
export function followMachines(
  world: World,
  etcd: EtcdCluster,
  nameOf: (address: string) => string | undefined,
): void {
  world.on((event) => {
    if (event.kind !== 'machine.up' && event.kind !== 'machine.down') return;
    const { machine } = event;
    if (!machine.containers.has('etcd')) return;
    const name = nameOf(machine.address);
    if (name === undefined) return;
    const done = event.kind === 'machine.down' ? etcd.stop(name, 'kill') : etcd.start(name, machine.address);
    void done.then(
      () => {
        world.emit({ kind: 'etcd.changed' });
      },
      // A member that was removed while its machine was off does not come back.
      () => undefined,
    );
  });
}
