/** The admin bundle, `bridge-admin.cjs`: `init` and `enroll`, which make certificates, and all other commands. */
import { dirname, join, resolve } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { CodedError } from '../../ports/errors.ts';
import { Name } from '../protocol/shapes.ts';
import { plainFingerprint } from '../server/policy.ts';
import { text } from './bridge.ts';
import { issue } from './certificates.ts';
import { readCommandLine } from './command-line.ts';
import { readPolicy, runCommand } from './commands.ts';
import { withFingerprint } from './policy-file.ts';
import type { CommandPorts } from './commands.ts';
import { commandPorts, endWith } from './process-adapter.ts';
import { placesIn } from './places.ts';
import { starterPolicy } from './starter.ts';

endWith(runAdmin(process.argv.slice(2)));

async function runAdmin(argv: readonly string[]): Promise<number> {
  const ports = commandPorts(join(dirname(process.argv[1] ?? ''), 'bridge.cjs'));
  const [command, ...rest] = argv;
  if (command !== 'init' && command !== 'enroll') return runCommand(argv, ports);
  const line = readCommandLine(rest, ['config', 'json', 'data-dir', 'fingerprint'], []);
  const config = resolve(line.options.get('config') ?? 'bridge.yaml');
  return command === 'init'
    ? init(config, line.options.get('data-dir'), ports)
    : enroll(config, line.words[0] ?? '', line.options.get('json'), ports);
}

/** Makes what is missing and changes nothing that is there. */
function init(config: string, dataDir: string | undefined, ports: CommandPorts): number {
  const { disk, print } = ports;
  if (text(disk, config) === undefined) {
    disk.write(config, starterPolicy(dataDir ?? join(dirname(config), 'data')));
    print(`Wrote ${config}: it grants nothing yet.`);
  }
  const policy = readPolicy(config, ports);
  const places = placesIn(policy.dataDir);
  for (const dir of [policy.dataDir, places.jobs, places.records, places.clients, places.admin])
    disk.makeDir(dir);
  if (text(disk, places.serverKey) === undefined) {
    const { cert, key } = issue('node-cycle-bridge', 'server', serial(ports), ports.clock.now());
    disk.write(places.serverKey, key);
    disk.write(places.serverCertificate, cert);
  }
  print(`Server certificate: SHA-256 ${serverPin(places.serverCertificate, ports)}`);
  return 0;
}

function enroll(config: string, name: string, json: string | undefined, ports: CommandPorts): number {
  const { disk, print } = ports;
  if (!Name.safeParse(name).success)
    throw new CodedError('NC2010', `enroll needs a name from [a-z0-9-], found ${JSON.stringify(name)}.`);
  const policy = readPolicy(config, ports);
  const places = placesIn(policy.dataDir);
  const pin = serverPin(places.serverCertificate, ports);
  const { cert, key, fingerprint } = issue(name, 'client', serial(ports), ports.clock.now());
  disk.makeDir(places.clients);
  disk.write(places.clientCertificate(name), cert);
  disk.write(config, withFingerprint(text(disk, config) ?? '', name, fingerprint));
  readPolicy(config, ports);
  const url = policy.url ?? `https://${policy.listen.host}:${policy.listen.port}`;
  if (json !== undefined) {
    disk.write(
      resolve(json),
      `${JSON.stringify({ name, url, serverPin: pin, cert, key, fingerprint }, undefined, 2)}\n`,
    );
    print(`Wrote ${json}.`);
    return 0;
  }
  print('For the service connection; the private key is stored nowhere else:');
  for (const part of [
    `URL\n${url}`,
    `Server fingerprint (SHA-256)\n${pin}`,
    `Certificate\n${cert}`,
    `Private key\n${key}`,
  ])
    print(part);
  print(
    `${config} now names the client ${name}; what it may do is written there; a bridge that runs takes a change within a second.`,
  );
  return 0;
}

function serverPin(path: string, { disk }: CommandPorts): string {
  const pem = text(disk, path);
  if (pem === undefined) throw new CodedError('NC2010', `There is no ${path}: run init first.`);
  return plainFingerprint(new X509Certificate(pem).fingerprint256);
}

/** Positive, as RFC 5280 asks: the first bit is 0. */
function serial({ random }: CommandPorts): Uint8Array {
  const bytes = random.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}
