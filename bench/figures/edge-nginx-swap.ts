/**
 * Seconds until a server of an upstream is exchanged for another: new in, old out, each with its reload. Ours is proven
 * (new workers, clean log, requests through the new server) and goes over SSH; the peer does the same two changes by
 * Ansible. A plain shell script is shown beside them. Failed requests are told on stderr.
 */
import { newServerServes } from '../../cycle/edge/nginx/prove.ts';
import { nginxProxy } from '../../cycle/edge/nginx/proxy.ts';
import { addBeside, removeAddress } from '../../cycle/edge/nginx/upstreams.ts';
import { random } from '../../ports/random.ts';
import { ssh } from '../../ports/ssh.ts';
import { ansiblePeer, shellPeer } from '../edge-peers.ts';
import type { Peer } from '../edge-peers.ts';
import { NEW, OLD, untilServed, withEdge } from '../edge.ts';
import type { EdgeWorld } from '../edge.ts';
import { median } from '../figure.ts';
import type { Figure } from '../figure.ts';

const WAIT = { deadlineMs: 30_000 };
const OTHER = '127.0.0.12';

export const figure: Figure = {
  ...{ name: 'edge.nginxSwap', unit: 's', peerName: 'ansible', goal: undefined, goalOn: 'ours', rounds: 5 },
  measure: (rounds) =>
    withEdge(async (world) => {
      const peers = [await ansiblePeer(world), shellPeer(world)].filter((peer) => peer !== undefined);
      const measured = new Map<string, number[]>();
      const failed = new Map<string, number>();
      const note = async (name: string, work: () => Promise<void>): Promise<void> => {
        world.requests();
        const from = performance.now();
        await work();
        measured.set(name, [...(measured.get(name) ?? []), (performance.now() - from) / 1_000]);
        failed.set(name, (failed.get(name) ?? 0) + world.requests().failed);
      };
      try {
        for (let round = 0; round < rounds; round += 1) {
          for (const [leaving, staying] of [
            [OLD, NEW],
            [NEW, OLD],
          ] as const) {
            // Ours goes one way and each peer goes back, so that all find the same world.
            await note('ours', () => ours(world, leaving, staying));
            await untilServed(world.url, staying, leaving);
            for (const peer of peers) {
              await note(peer.name, () => theirs(world, peer, staying, leaving));
              await note('', () => ours(world, leaving, staying));
            }
          }
        }
      } finally {
        for (const peer of peers) await peer.end();
      }
      for (const name of ['ours', ...peers.map((peer) => peer.name)])
        process.stderr.write(
          `edge.nginxSwap, ${name}: ${(median(measured.get(name) ?? []) ?? 0).toFixed(2)} s, ${failed.get(name) ?? 0} failed requests\n`,
        );
      const ansible = peers.find((peer) => peer.name.startsWith('ansible'));
      return { ours: measured.get('ours') ?? [], peer: measured.get(ansible?.name ?? '') ?? [] };
    }),
};

async function ours(world: EdgeWorld, leaving: string, staying: string): Promise<void> {
  const proxy = nginxProxy({ name: 'edge', target: world.proxy.target, ssh, random });
  const ask = async () => {
    const response = await fetch(world.url, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.ok ? 'ok' : `status ${response.status}`;
  };
  const before = await proxy.observe(WAIT);
  const prove = newServerServes({ proxy, address: staying, ask });
  const added = await proxy.apply(addBeside(before.files, leaving, staying), before, WAIT, prove);
  const both = await proxy.observe(WAIT);
  const removed = await proxy.apply(removeAddress(both.files, leaving).files, both, WAIT);
  for (const outcome of [added, removed])
    if (outcome !== 'reloaded') throw new Error(JSON.stringify(outcome));
}

async function theirs(world: EdgeWorld, peer: Peer, leaving: string, staying: string): Promise<void> {
  await peer.change([leaving, staying, OTHER]);
  await peer.change([staying, OTHER]);
  // Its reload was only asked for; the change is made when users see it.
  await untilServed(world.url, staying, leaving);
}
