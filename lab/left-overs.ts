/** Where a node still stands after its cycle: asked of every place that knew it. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { upstreamServers } from '../cycle/edge/nginx/upstreams.ts';
import { dns as ask } from '../ports/dns.ts';
import type { DnsRecord } from '../ports/ports.ts';
import type { Lab } from './start.ts';

export const VALUES = 'apps/ingress-nginx/values.yaml';

/** A file at the tip of a repository's main branch. */
export function showFile(repository: string, path: string): string {
  return execFileSync('git', ['-C', repository, 'show', `refs/heads/main:${path}`], { encoding: 'utf8' });
}

export async function recordsOf(server: string, name: string, type: 'A' | 'CNAME'): Promise<DnsRecord[]> {
  const answer = await ask({ server, name, type, deadlineMs: 2_000 });
  return answer.answers.filter((record) => record.type === type);
}

/** Empty when nothing knows the node any more. */
export async function leftOvers(lab: Lab, name: string, address: string): Promise<string[]> {
  const { world, example, proxy, dns, initial } = lab;
  const left: string[] = [];
  if (world.kube.store.get('nodes', name) !== undefined) left.push(`Kubernetes has the Node ${name}`);
  const members = await initial.rke.etcd.members();
  if (members.some((member) => member.address === address)) left.push(`etcd has a member at ${address}`);
  if (showFile(example.repositories.user, 'cluster.yml').includes(address))
    left.push(`cluster.yml names ${address}`);
  if (showFile(example.repositories.user, 'known_hosts').includes(address))
    left.push(`known_hosts names ${address}`);
  if (showFile(example.repositories.gitops, VALUES).includes(address))
    left.push(`the ingress values name ${address}`);
  const files = Object.fromEntries(proxy.nginx.files.map((file) => [file, readFileSync(file, 'utf8')]));
  if (upstreamServers(files).some((server) => server.address === address))
    left.push(`nginx names ${address}`);
  for (const server of dns.servers) {
    for (const alias of [`cp-${example.cluster}`, `tfx-${example.cluster}`, 'dash', name]) {
      for (const record of await recordsOf(
        server,
        `${alias}.${example.zone}`,
        alias === 'dash' ? 'CNAME' : 'A',
      )) {
        if (record.data === address || record.data.startsWith(`${name}.`))
          left.push(`${server}: ${alias} is ${record.data}`);
      }
    }
  }
  const state = join(lab.stateDir, 'cluster.rkestate');
  if (existsSync(state) && readFileSync(state, 'utf8').includes(`"${address}"`))
    left.push(`rke's state names ${address}`);
  const running = world.hosts.vms().filter((vm) => vm.name === name && vm.state === 'running');
  if (running.length > 0) left.push(`the VM ${name} runs`);
  return left;
}
