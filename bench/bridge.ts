/**
 * The real bridge for the bench: started as on a host, mutual TLS and a policy of one client. The engine is a shell
 * script that answers at once, so that what is measured is the bridge and not the host.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bridgeClient } from '../agent-bridge/client/client.ts';
import type { BridgeClient } from '../agent-bridge/client/client.ts';
import { clock } from '../ports/clock.ts';
import { openHttp } from '../ports/http.ts';
import type { Http } from '../ports/ports.ts';
import { random } from '../ports/random.ts';
import { Secret } from '../ports/secret.ts';
import { untilLine } from './process.ts';

export const BRIDGE = resolve('dist', 'agent-bridge', 'bridge.cjs');
const ADMIN = resolve('dist', 'agent-bridge', 'bridge-admin.cjs');
export const DEADLINE_MS = 10_000;
/** Answers the scripts of `host.read` and `dns.swap`; the one that changes something runs `true` first. */
const ENGINE = `#!/bin/sh
input=$(cat)
nonce=\${input#*'"nonce":"'}
nonce=\${nonce%%'"'*}
case "$input" in
  *'"script":"host-info"'*) echo "##NC-RESULT $nonce {{info}}" ;;
  *'"script":"dns-read"'*) echo "##NC-RESULT $nonce {{before}}" ;;
  *'"script":"dns-swap"'*) /usr/bin/env true; echo "##NC-RESULT $nonce {{after}}" ;;
  *) echo "##NC-RESULT $nonce {\\"images\\":[]}" ;;
esac
`;
const ZONE = 'bench.test';
const OLD = '10.0.0.1';
const NEW = '10.0.0.2';
const NOBODYS_BUDGET = 1_000_000;
const INFO = { host: 'bench', memoryFreeMb: 8192, memoryTotalMb: 16384, diskFreeBytes: 1e11, vmsRunning: 0 };

const record = (data: string) => ({ name: 'web', type: 'A', ttl: 300, data });
const ANSWERS: Record<string, unknown> = {
  info: INFO,
  before: { servers: [{ server: 'dns', serial: '1', records: [record(OLD)] }] },
  after: { serial: '2', records: [record(NEW)] },
};

export interface BenchBridge {
  dir: string;
  config: string;
  pid: number;
  material: Enrolled;
  client: BridgeClient;
  /** One `host.read`. */
  read(by?: BridgeClient): Promise<unknown>;
  /** One `dns.swap` from its submission to its end: two fsynced entries and more, a supervisor, and its child. */
  job(by?: BridgeClient): Promise<void>;
  /** The work of a client that has no connection yet. */
  fromNewConnection(work: (by: BridgeClient) => Promise<unknown>): Promise<void>;
}

/** Runs `work` against a bridge that serves, and ends it. */
export async function withBridge<T>(work: (bridge: BenchBridge) => Promise<T>): Promise<T> {
  if (!existsSync(BRIDGE) || !existsSync(ADMIN))
    throw new Error('there is no dist/agent-bridge: run the build first');
  const dir = mkdtempSync(join(tmpdir(), 'bench-bridge-'));
  const { http, close } = openHttp();
  try {
    const { config, client: material } = await install(dir);
    const serving = await untilLine(
      { args: [BRIDGE, 'serve', '--config', config], deadlineMs: DEADLINE_MS },
      (line) => line.includes('"listening"'),
    );
    try {
      const { url, serverPin, cert, key } = material;
      const clientOver = (port: Http) =>
        bridgeClient({ http: port, clock, random, url, serverPin, cert, key: new Secret(key) });
      const client = clientOver(http);
      const read = (by = client) => by.read('host.read', {}, { deadlineMs: DEADLINE_MS });
      const job = (by = client) => swap(by);
      const answer = await read();
      if (answer.hosts[0]?.host !== INFO.host) throw new Error('the bridge answered for another host');
      const fromNewConnection: BenchBridge['fromNewConnection'] = async (fresh) => {
        const own = openHttp();
        try {
          await fresh(clientOver(own.http));
        } finally {
          own.close();
        }
      };
      const { pid } = serving;
      return await work({ dir, config, pid, material, client, read, job, fromNewConnection });
    } finally {
      await serving.end();
    }
  } finally {
    close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function swap(client: BridgeClient): Promise<void> {
  const wait = { deadlineMs: DEADLINE_MS };
  const params = {
    ...{ cluster: 'home', zone: ZONE, name: 'web', type: 'A' as const, fence: 1 },
    ...{ expect: [OLD], add: [NEW], remove: [OLD] },
  };
  const handle = await client.submit('dns.swap', params, randomBytes(32).toString('hex'), wait);
  const outcome = await client.waitFor(handle, wait);
  if (outcome.kind !== 'done' || outcome.result.records[0]?.data !== NEW)
    throw new Error(`the job ended as ${JSON.stringify(outcome.job)}`);
}

export interface Enrolled {
  url: string;
  serverPin: string;
  cert: string;
  key: string;
}

/** As a person would: `init`, `enroll`, then the policy is filled in. */
async function install(dir: string): Promise<{ config: string; client: Enrolled }> {
  const config = join(dir, 'bridge.yaml');
  const json = join(dir, 'client.json');
  const engine = join(dir, 'engine');
  for (const name of ['data', 'vms', 'images', 'scripts']) mkdirSync(join(dir, name), { mode: 0o700 });
  const answer = (_: string, name: string) => JSON.stringify(ANSWERS[name]).replaceAll('"', '\\"');
  writeFileSync(engine, ENGINE.replaceAll(/\{\{(\w+)\}\}/g, answer), { mode: 0o755 });
  const policy = (fingerprint: string, port: number): string =>
    JSON.stringify({
      version: 1,
      listen: { host: '127.0.0.1', port },
      engine: { file: engine, warm: false },
      ...{ scriptsDir: join(dir, 'scripts'), dataDir: join(dir, 'data') },
      ...{ vmRoot: join(dir, 'vms'), imageRoot: join(dir, 'images'), keepStoppedHours: 24 },
      ...{ networks: {}, sizes: {}, images: {}, zones: { [ZONE]: { servers: ['dns'] } } },
      clients: fingerprint === '' ? [] : [grant(fingerprint)],
    });
  const port = await freePort();
  writeFileSync(config, policy('', port), { mode: 0o600 });
  execFileSync(process.execPath, [ADMIN, 'init', '--config', config]);
  execFileSync(process.execPath, [ADMIN, 'enroll', 'bench', '--json', json, '--config', config]);
  const client = JSON.parse(readFileSync(json, 'utf8')) as Enrolled & { fingerprint: string };
  writeFileSync(config, policy(client.fingerprint, port), { mode: 0o600 });
  return { config, client };
}

function grant(fingerprint: string): object {
  const budgets = { creations: 1, deletions: 1, imageBuilds: 1, dnsSwaps: NOBODYS_BUDGET, stops: 1 };
  const lists = { names: ['home-*'], sizes: [], images: [], addressRanges: [`${OLD}-${NEW}`], switches: [] };
  const dns = [{ zone: ZONE, names: ['web'] }];
  const operations = ['host.read', 'dns.swap'];
  return {
    name: 'bench',
    fingerprint,
    clusters: ['home'],
    operations,
    dns,
    ...lists,
    budgets,
    maxRunningVms: 1,
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
