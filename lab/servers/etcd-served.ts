/** How much the real members of etcd have served, for the lab's table of components. */
import { get } from 'node:https';
import type { ExampleInput } from '../example.ts';
import type { LabWorld } from '../world/create.ts';
import { etcdMaterial } from '../world/etcd/machines.ts';

/** What the members themselves counted, less those that have left. */
export async function etcdServed(world: LabWorld, example: ExampleInput): Promise<number> {
  const counts = await Promise.all(
    [...world.machines.values()]
      .filter((machine) => machine.up && machine.containers.has('etcd'))
      .map(({ address }) => {
        const { caPem: ca, certPem: cert, keyPem: key } = etcdMaterial(world, address);
        return new Promise<number>((resolve) => {
          const url = `https://${address}:${String(example.ports.etcdClient)}/metrics`;
          get(url, { ca, cert, key, agent: false }, (response) => {
            let text = '';
            response.on('data', (part: Buffer) => (text += part.toString('utf8')));
            response.on('end', () => resolve(handled(text)));
          }).on('error', () => resolve(0));
        });
      }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Sum of `grpc_server_handled_total` of one member. */
function handled(metrics: string): number {
  return [...metrics.matchAll(/^grpc_server_handled_total\{[^}]*\} (\d+)/gm)].reduce(
    (sum, match) => sum + Number(match[1]),
    0,
  );
}
