/** Starts the traffic as a process of its own, and follows what it says. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DIST, WORKER_SHUTDOWN_SECONDS, type Lab } from './start.ts';
import type { TrafficSettings } from './traffic/config.ts';
import type { TrafficResult, TrafficStats } from './traffic/statistics.ts';

export interface TrafficProcess {
  stop(): Promise<TrafficResult>;
}

/** `withAlias`: the class of the single CNAME, which a dead node cannot serve. */
export function startTraffic(
  lab: Lab,
  onStats: (stats: TrafficStats) => void,
  withAlias = true,
): TrafficProcess {
  const config = join(lab.dir, 'traffic.json');
  writeFileSync(config, JSON.stringify(settingsFor(lab, withAlias)), { mode: 0o600 });
  const child = spawn(process.execPath, [join(DIST, 'lab', 'traffic.cjs'), config], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let result: TrafficResult | undefined;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const said = JSON.parse(line) as TrafficStats | TrafficResult | { kind: 'failure' };
    if (said.kind === 'stats') onStats(said);
    else if (said.kind === 'result') result = said;
  });
  const ended = Promise.all([
    new Promise<void>((resolve) => child.once('exit', () => resolve())),
    new Promise<void>((resolve) => lines.once('close', () => resolve())),
  ]);
  const reloads = watchReloads(lab.proxy.nginx.errorLog, (atMs) => {
    child.stdin.write(`${JSON.stringify({ kind: 'proxy.reload', atMs })}\n`);
  });
  // A traffic process that died is seen by its missing result.
  child.stdin.on('error', () => reloads.stop());
  return {
    async stop() {
      reloads.stop();
      child.kill('SIGTERM');
      await ended;
      if (result === undefined) throw new Error('The traffic ended without a result.');
      return result;
    },
  };
}

function settingsFor(lab: Lab, withAlias: boolean): TrafficSettings {
  const { example, initial, dns } = lab;
  const { ports, proxyAddress, zone, cluster } = example;
  return {
    http: { address: proxyAddress, port: ports.proxyHttp, host: `shop.${zone}` },
    stream: {
      address: proxyAddress,
      port: ports.proxyStream,
      drainDeadlineMs: WORKER_SHUTDOWN_SECONDS * 1000,
      reloads: 'told',
    },
    api: {
      dnsServers: dns.servers,
      alias: `cp-${cluster}.${zone}`,
      port: ports.api,
      ca: initial.caPem,
      cert: initial.admin.certPem,
      key: initial.admin.keyPem,
    },
    ...(withAlias
      ? { alias: { dnsServers: dns.servers, alias: `dash.${zone}`, port: ports.ingressHttp } }
      : {}),
  };
}

const LOG_POLL_MS = 50;
/** What nginx and its stand-in write when a SIGHUP comes. */
const RELOAD = 'reconfiguring';

/** Follows nginx's error log: each reload, soon after it began. */
function watchReloads(errorLog: string, onReload: (atMs: number) => void): { stop(): void } {
  const file = openSync(errorLog, 'r');
  const bytes = Buffer.alloc(64 * 1024);
  let rest = '';
  const timer = setInterval(() => {
    const length = readSync(file, bytes, 0, bytes.length, null);
    const lines = (rest + bytes.toString('utf8', 0, length)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.includes(RELOAD)) onReload(Date.now());
  }, LOG_POLL_MS);
  let stopped = false;
  return {
    stop() {
      if (stopped) return;
      stopped = true;
      clearInterval(timer);
      closeSync(file);
    },
  };
}
