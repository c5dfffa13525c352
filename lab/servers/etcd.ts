/**
 * etcd for the lab: real processes where etcd is installed, otherwise the model of lab/world/etcd behind a TLS
 * JSON gateway of the same shape, one server a member.
 */
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import { etcdModel } from '../world/etcd/model.ts';
import type { EtcdAnswer } from '../world/etcd/model.ts';
import type { EtcdMaterial } from '../world/etcd/machines.ts';
import type { EtcdCluster, WorldClock } from '../world/world.ts';
import { etcdVersion, realEtcd } from './etcd-real.ts';

export interface EtcdOptions {
  clock: WorldClock;
  random: () => number;
  ports: { client: number; peer: number };
  material: (address: string) => EtcdMaterial;
  /** Folder for the data of real members. */
  dir: string;
  kind?: 'real' | 'stand-in' | 'auto' | undefined;
  /** How long the stand-in asks members to be connected before it changes them; etcd's 5 s when absent. */
  healthIntervalMs?: number | undefined;
  /** Counts requests to members, for the lab's table of components. */
  onCall?: (() => void) | undefined;
}

export function openEtcd(options: EtcdOptions): EtcdCluster {
  const kind = options.kind ?? 'auto';
  return kind === 'real' || (kind === 'auto' && etcdVersion() !== undefined)
    ? realEtcd(options)
    : standInEtcd(options);
}

export function standInEtcd(options: EtcdOptions): EtcdCluster {
  const model = etcdModel(options);
  const servers = new Map<string, Server>();
  const names = new Map<string, string>();

  async function open(address: string): Promise<void> {
    const material = options.material(address);
    const server = createServer(
      {
        ca: material.caPem,
        cert: material.certPem,
        key: material.keyPem,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (request, response) => {
        const parts: Buffer[] = [];
        request.on('data', (part: Buffer) => parts.push(part));
        request.on('end', () => {
          options.onCall?.();
          const body = Buffer.concat(parts).toString('utf8');
          const answer = model.answer(address, request.method ?? 'GET', request.url ?? '/', body);
          response.writeHead(answer.status, {
            'content-type': answer.contentType,
            ...(answer.trailer ? { trailer: 'Grpc-Trailer-Content-Type' } : {}),
          });
          response.write(answer.body);
          if (answer.trailer) response.addTrailers({ 'Grpc-Trailer-Content-Type': 'application/grpc' });
          response.end();
        });
      },
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.ports.client, address, resolve);
    });
    servers.set(address, server);
  }
  async function shut(address: string): Promise<void> {
    const server = servers.get(address);
    if (server === undefined) return;
    servers.delete(address);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  model.onRemoved((address) => void shut(address));

  const addressOf = (name: string) =>
    [...names].find(([, known]) => known === name)?.[0] ??
    model.members().find((member) => member.name === name)?.address;

  function expectOk(answer: EtcdAnswer): void {
    if (answer.status !== 200) throw new Error(`etcd answered ${answer.body}`);
  }
  /** As rke's caller would see it: etcd's refusals of the first seconds pass by themselves. */
  async function whenReady(change: () => EtcdAnswer): Promise<void> {
    const endMs = options.clock.nowMs() + 9_000;
    let answer = change();
    while (answer.status === 503 && options.clock.nowMs() < endMs) {
      await new Promise<void>((resolve) => options.clock.after(50, resolve));
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
      if (!servers.has(address)) await open(address);
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
      await Promise.all([...servers.keys()].map(shut));
    },
  };
}
