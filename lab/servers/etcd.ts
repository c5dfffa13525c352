/**
 * etcd for the lab: real processes where etcd is installed, otherwise the model of lab/world/etcd behind a TLS
 * JSON gateway of the same shape, one server a member.
 */
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import { modelledCluster } from '../world/etcd/cluster.ts';
import { etcdModel } from '../world/etcd/model.ts';
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

  return modelledCluster(model, options.clock, { open, shut });
}
