/**
 * The lab's DNS: BIND with a TSIG key when it is installed, else a stand-in server with a stand-in `nsupdate`.
 * Both have a primary that takes updates and, when asked for, a secondary that follows it.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { dns } from '../../../ports/dns.ts';
import { findProgram, freePort, startChild, untilReady, versionOf } from '../proxy/child.ts';
import type { Child } from '../proxy/child.ts';
import { startStandIn } from './standin/server.ts';

export interface DnsServerOptions {
  dir: string;
  zone: string;
  /** Name below the zone (`@` for itself) → records. */
  records: { name: string; type: 'A' | 'AAAA' | 'CNAME'; ttl: number; data: string }[];
  address: string;
  /** 0: any free one. */
  port: number;
  /** With the real BIND, an address that an interface has: 127.0.0.1 and another port. */
  secondary?: { address: string; port: number };
  /** TSIG; made when absent. */
  key?: { name: string; algorithm: string; secret: string };
  use?: 'real' | 'stand-in';
}

export interface RunningDns {
  kind: 'real' | 'stand-in';
  version: string;
  /** `address:port`, the primary first. */
  servers: string[];
  key: { name: string; algorithm: string; secret: string };
  /** For `nsupdate -k`. */
  keyFile: string;
  /** The program that speaks to these servers. */
  nsupdate: string;
  /** Queries and updates that arrived. */
  calls(): number;
  stop(): Promise<void>;
}

export function realDns(): { named: string; nsupdate: string } | undefined {
  const [named, nsupdate] = [findProgram('named'), findProgram('nsupdate')];
  return named && nsupdate ? { named, nsupdate } : undefined;
}

export async function startDns(options: DnsServerOptions): Promise<RunningDns> {
  const real = options.use === 'stand-in' ? undefined : realDns();
  if (options.use === 'real' && !real) throw new Error('bind9 and bind9-dnsutils are not installed');
  mkdirSync(options.dir, { recursive: true });
  const key = options.key ?? {
    name: 'node-cycle',
    algorithm: 'hmac-sha256',
    secret: randomBytes(32).toString('base64'),
  };
  const keyFile = join(options.dir, 'nsupdate.key');
  writeFileSync(keyFile, keyText(key), { mode: 0o600 });
  const ports = [options.port || (await freePort(options.address))];
  if (options.secondary) ports.push(options.secondary.port || (await freePort(options.secondary.address)));
  const at = [options.address, options.secondary?.address].flatMap((address, i) =>
    address ? [{ address, port: ports[i] ?? 0 }] : [],
  );
  const servers = at.map((one) => `${one.address}:${one.port}`);
  if (!real) {
    const standIn = await startStandIn({ zone: options.zone, records: options.records, at, key });
    return {
      ...standIn,
      kind: 'stand-in',
      version: 'stand-in',
      servers,
      key,
      keyFile,
      nsupdate: buildNsupdate(options.dir),
    };
  }
  requireInterface(at.map((one) => one.address));
  const children: Child[] = [];
  const stop = async () => {
    await Promise.all(children.map((child) => child.stop()));
  };
  const logs: string[] = [];
  try {
    for (const [index, here] of at.entries()) {
      const dir = join(options.dir, index === 0 ? 'primary' : 'secondary');
      mkdirSync(dir, { recursive: true });
      writeFileSync(join(dir, 'key.conf'), keyText(key), { mode: 0o640 });
      if (index === 0) writeFileSync(join(dir, 'zone.db'), zoneText(options));
      writeFileSync(
        join(dir, 'named.conf'),
        namedConf(dir, here, index === 0 ? undefined : at[0], at[1], options.zone, key.name),
      );
      logs.push(join(dir, 'named.log'));
      children.push(startNamed(real.named, dir));
    }
    for (const [index, child] of children.entries()) {
      await untilReady(child, 'named', async () => {
        const asked = {
          server: servers[index] ?? '',
          name: options.zone,
          type: 'SOA',
          deadlineMs: 500,
        } as const;
        const answer = await dns(asked).catch(() => undefined);
        return answer?.rcode === 'NOERROR' && answer.authoritative;
      });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    kind: 'real',
    version: versionOf(real.named, ['-v'], /BIND (\S+)/),
    servers,
    key,
    keyFile,
    nsupdate: real.nsupdate,
    calls: () => logs.reduce((sum, log) => sum + countCalls(log), 0),
    stop,
  };
}

/** As root, named works as `bind` or `nobody`, as it would on a server; else as whoever we are. */
function startNamed(named: string, dir: string): Child {
  const args = ['-f', '-c', join(dir, 'named.conf')];
  const asRoot = process.getuid?.() === 0 && findProgram('setpriv') !== undefined;
  const user = asRoot ? ['bind', 'nobody'].map(idsOf).find((ids) => ids) : undefined;
  if (!user) return startChild(named, args);
  for (const name of ['', 'key.conf', 'zone.db', 'named.conf']) {
    if (existsSync(join(dir, name))) chownSync(join(dir, name), user.uid, user.gid);
  }
  // Folders made by mkdtemp are closed to others, and named must get through them.
  for (let up = dirname(dir); up !== dirname(up) && (statSync(up).mode & 0o005) === 0; up = dirname(up)) {
    chmodSync(up, 0o755);
  }
  return startChild(named, args, { as: user });
}

/** named listens only on addresses that an interface has; the rest of 127.0.0.0/8 works for others without that. */
function requireInterface(addresses: readonly string[]): void {
  const held = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address));
  const missing = addresses.filter((address) => !held.includes(address));
  if (missing.length === 0) return;
  throw new Error(
    `named cannot listen on ${missing.join(', ')}: no interface has it. Use 127.0.0.1 with a port of its own.`,
  );
}

function idsOf(user: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string) =>
      Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return undefined;
  }
}

function keyText(key: RunningDns['key']): string {
  return `key "${key.name}" {\n\talgorithm ${key.algorithm};\n\tsecret "${key.secret}";\n};\n`;
}

function namedConf(
  dir: string,
  here: { address: string; port: number },
  primary: { address: string; port: number } | undefined,
  secondary: { address: string; port: number } | undefined,
  zone: string,
  keyName: string,
): string {
  const role = primary
    ? `type secondary; primaries { ${primary.address} port ${primary.port}; }; masterfile-format text;`
    : `type primary; update-policy { grant ${keyName} zonesub A AAAA TXT CNAME; }; ${
        secondary
          ? `notify explicit; also-notify { ${secondary.address} port ${secondary.port}; };`
          : 'notify no;'
      }`;
  return `include "${dir}/key.conf";
options {
  directory "${dir}"; pid-file "${dir}/named.pid"; session-keyfile "${dir}/session.key"; managed-keys-directory "${dir}";
  listen-on port ${here.port} { ${here.address}; }; listen-on-v6 { none; };
  query-source address ${here.address}; transfer-source ${here.address}; notify-source ${here.address};
  recursion no; dnssec-validation no; allow-query { any; }; allow-transfer { any; }; allow-notify { any; };
  notify-delay 0; serial-query-rate 100; querylog yes;
};
controls { };
logging {
  channel f { file "${dir}/named.log"; severity info; };
  category default { f; }; category queries { f; }; category update { f; }; category update-security { f; };
};
zone "${zone}" { file "${dir}/zone.db"; ${role} };
`;
}

function zoneText(options: DnsServerOptions): string {
  const lines = options.records.map(
    (r) => `${r.name} ${r.ttl} IN ${r.type} ${r.data}${r.type === 'CNAME' ? '.' : ''}`,
  );
  return `$TTL 30\n@ IN SOA ns hostmaster 1 60 30 3600 30\n@ IN NS ns\nns IN A ${options.address}\n${lines.join('\n')}\n`;
}

function countCalls(log: string): number {
  if (!existsSync(log)) return 0;
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => / query: |updating zone/.test(line)).length;
}

function buildNsupdate(dir: string): string {
  const bundle = join(dir, 'nsupdate-stand-in.cjs');
  buildSync({
    entryPoints: [fileURLToPath(new URL('./standin/nsupdate.ts', import.meta.url))],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  });
  const program = join(dir, 'nsupdate');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${bundle}' "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}
