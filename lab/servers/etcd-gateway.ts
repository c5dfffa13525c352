/** A client of etcd's JSON gateway for the lab's own use: what rke's etcd client does. */
import { request } from 'node:https';
import type { EtcdMaterial } from '../world/etcd/machines.ts';

export interface GatewayAnswer {
  status: number;
  text: string;
}

export interface GatewayTarget {
  address: string;
  port: number;
  material: EtcdMaterial;
}

/** Rejects when nothing answers within `deadlineMs`. */
export function gateway(
  target: GatewayTarget,
  method: 'GET' | 'POST',
  path: string,
  body: unknown,
  deadlineMs: number,
): Promise<GatewayAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: target.address,
        port: target.port,
        method,
        path,
        ca: target.material.caPem,
        cert: target.material.certPem,
        key: target.material.keyPem,
        agent: false,
        timeout: deadlineMs,
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') });
        });
        response.on('error', reject);
      },
    );
    const timer = setTimeout(() => {
      sent.destroy(new Error(`no answer from etcd at ${target.address} within ${String(deadlineMs)} ms`));
    }, deadlineMs);
    sent.on('close', () => {
      clearTimeout(timer);
    });
    sent.on('error', reject);
    sent.end(method === 'POST' ? JSON.stringify(body) : undefined);
  });
}

export interface ListedMember {
  id: string;
  name: string;
  address: string;
  isLearner: boolean;
}

/** Reads a member list without passing ids through numbers: they have 64 bits. */
export function parseMembers(text: string): ListedMember[] {
  const list = JSON.parse(text) as {
    members?: { ID: string; name?: string; peerURLs?: string[]; isLearner?: boolean }[];
  };
  return (list.members ?? []).map((member) => ({
    id: member.ID,
    name: member.name ?? '',
    address: new URL(member.peerURLs?.[0] ?? 'https://0.0.0.0').hostname,
    isLearner: member.isLearner ?? false,
  }));
}
