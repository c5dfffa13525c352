/** Starts the traffic as a process of its own, and follows what it says. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
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
  return {
    async stop() {
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
