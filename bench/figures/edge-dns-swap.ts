/**
 * Seconds until an alias has exchanged one member for another and both servers of the zone say so. The peer is a person
 * with `nsupdate` and `dig`: two updates, then `dig` at each server until the answer is the new one.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aliasNeeds } from '../../cycle/edge/dns/alias.ts';
import { rfc2136Zone } from '../../cycle/edge/dns/rfc2136.ts';
import { startDns } from '../../lab/servers/dns/dns.ts';
import type { RunningDns } from '../../lab/servers/dns/dns.ts';
import { findProgram } from '../../lab/servers/proxy/child.ts';
import { dns } from '../../ports/dns.ts';
import { run } from '../../ports/run.ts';
import type { Figure } from '../figure.ts';
import { inTurn } from '../in-turn.ts';

const ZONE = 'bench.test';
const NAME = `cp.${ZONE}`;
const [FIRST, SECOND] = ['10.0.0.11', '10.0.0.13'];
const WAIT = { deadlineMs: 10_000 };
const POLL_MS = 20;

export const figure: Figure = {
  ...{
    name: 'edge.dnsSwap',
    unit: 's',
    peerName: 'nsupdate and dig',
    goal: undefined,
    goalOn: 'ours',
    rounds: 7,
  },
  async measure(rounds) {
    const dig = findProgram('dig');
    if (dig === undefined) throw new Error('dig is not installed');
    const dir = mkdtempSync(join(tmpdir(), 'bench-dns-'));
    const server = await startDns({
      ...{ dir, zone: ZONE, address: '127.0.0.1', port: 0, use: 'real' },
      secondary: { address: '127.0.0.1', port: 0 },
      records: [FIRST, '10.0.0.12'].map((data) => ({ name: 'cp', type: 'A', ttl: 30, data })),
    });
    try {
      const measured = await inTurn(
        rounds,
        () => ours(server, FIRST, SECOND),
        () => byHand(server, dig, SECOND, FIRST),
      );
      const seconds = (all: readonly number[]) => all.map((ms) => ms / 1_000);
      return { ours: seconds(measured.ours), peer: seconds(measured.peer) };
    } finally {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  },
};

async function ours(server: RunningDns, leaving: string, member: string): Promise<void> {
  const zone = rfc2136Zone({
    ...{ zone: ZONE, servers: server.servers, dns, run, keyFile: server.keyFile, nsupdate: server.nsupdate },
    env: { PATH: process.env['PATH'] ?? '' },
  });
  const set = { name: NAME, type: 'A' as const };
  for (;;) {
    const [need] = aliasNeeds(await zone.read([set], WAIT), { ...set, member, leaving, ttl: 30 });
    if (need === undefined) return;
    if (need.kind === 'agree') await pause();
    else if ((await zone.swap(need.swap, WAIT)) !== 'swapped') throw new Error('the swap was refused');
  }
}

async function byHand(server: RunningDns, dig: string, leaving: string, member: string): Promise<void> {
  const [primary = ''] = server.servers;
  for (const line of [`update add ${NAME}. 30 A ${member}`, `update delete ${NAME}. A ${leaving}`]) {
    const input = `server ${primary.replace(':', ' ')}\nzone ${ZONE}.\n${line}\nsend\n`;
    const { status } = spawnSync(server.nsupdate, ['-k', server.keyFile], { input });
    if (status !== 0) throw new Error(`nsupdate ended with ${String(status)}`);
  }
  const wanted = [member, '10.0.0.12'].sort().join('\n');
  for (const at of server.servers) {
    const [host = '', port = ''] = at.split(':');
    const answer = () =>
      spawnSync(dig, [`@${host}`, '-p', port, '+short', '+norecurse', NAME, 'A'], { encoding: 'utf8' });
    while (answer().stdout.trim().split('\n').sort().join('\n') !== wanted) await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS));
}
