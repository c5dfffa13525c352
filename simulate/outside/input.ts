/**
 * What every seed begins with, made once for a process: somebody's cluster, the keys and certificates of all parties,
 * the texts of their files.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parsePolicy, type BridgePolicy } from '../../agent-bridge/server/policy.ts';
import { placesIn } from '../../agent-bridge/service/places.ts';
import { loadConfig, type Config } from '../../cycle/config.ts';
import { templateText } from '../../lab/bridge-process.ts';
import { makeExample, type ExampleInput, type ExampleShape } from '../../lab/example.ts';
import { makeSshKeyPair } from '../../lab/ssh-key.ts';
import { createAuthority, type Issued } from '../../lab/world/certs/issue.ts';

/** The first of May 2026, noon, UTC: inside every certificate's life. */
export const START_MS = Date.UTC(2026, 4, 1, 12);
export const STATE_DIR = '/agent/state';
export const RKE_BINARY = '/agent/bin/rke';
export const DNS_SERVERS = ['127.9.9.3:53', '127.9.9.4:53'] as const;
export const PROXY_SSH_PORT = 2022;
const HOST_DIR = '/host';

export interface Input {
  example: ExampleInput;
  config: Config;
  texts: Record<'user' | 'gitops', Record<string, string>>;
  policy: BridgePolicy;
  policyText: string;
  template: { path: string; text: string };
  server: Issued & { pin: string };
  client: Issued;
  proxyKey: { private: string; public: string };
  proxyHostKey: string;
  tsig: { name: string; secret: string };
  serviceToken: string;
}

export async function makeInput(root: string, shape: ExampleShape, pollMs: number): Promise<Input> {
  const example = makeExample({
    dir: '/example',
    base: '127.9.9',
    seed: 1,
    nowMs: START_MS,
    shape,
    templates: join(root, 'lab', 'example'),
  });
  const template = { path: `${HOST_DIR}/ubuntu-node.pkr.json`, text: templateText() };
  // The golden image was built from today's template, so that the bridge does not find it stale.
  for (const host of example.hosts)
    for (const image of host.images) image.sourceHash = sha256(sha256(template.text));
  const authority = await createAuthority('simulation', START_MS);
  const [server, client] = await Promise.all([
    authority.issue({ commonName: 'bridge', usage: 'server' }),
    authority.issue({ commonName: 'agent', usage: 'client' }),
  ]);
  const proxyKey = makeSshKeyPair();
  const proxyHostKey = makeSshKeyPair().public;
  const tsig = { name: 'node-cycle', secret: Buffer.from(sha256('tsig')).toString('base64') };
  const texts = example.texts({
    proxy: { address: example.proxyAddress, port: PROXY_SSH_PORT, user: 'node-cycle', hostKey: proxyHostKey },
    dnsServers: DNS_SERVERS,
    dnsKeyName: tsig.name,
    rkeBinary: RKE_BINARY,
    stateDir: STATE_DIR,
  });
  // Waits that are long cost the simulation observations, and show nothing more.
  texts.user['node-cycle.yml'] = (texts.user['node-cycle.yml'] ?? '')
    .replace(/pollMs: \d+/, `pollMs: ${pollMs}`)
    .replace(/settleSeconds: \d+/, 'settleSeconds: 15')
    .replace(/readySeconds: \d+/, 'readySeconds: 45')
    .replace(/drainSeconds: 120/, 'drainSeconds: 45');
  const loaded = loadConfig(texts.user['node-cycle.yml'], 'node-cycle.yml');
  if (!('config' in loaded))
    throw new Error(`the example's node-cycle.yml: ${JSON.stringify(loaded.errors)}`);
  const dataDir = realKeys(server);
  const policyText = example.bridgeYaml({
    bridgePort: '8443',
    engineFile: `${HOST_DIR}/engine`,
    engineArgs: '"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"',
    scriptsDir: `${HOST_DIR}/scripts`,
    dataDir,
    vmRoot: 'D:\\VMs',
    imageRoot: 'D:\\Images',
    template: template.path,
    clientFingerprint: print(client.certPem),
    operations: 'host.read, vm.read, image.build, vm.create, vm.stop, vm.delete',
    warm: 'false',
  });
  return {
    ...{ example, texts, policyText, template, proxyKey, proxyHostKey, tsig },
    config: loaded.config,
    policy: parsePolicy(policyText, 'bridge.yaml'),
    server: { ...server, pin: print(server.certPem) },
    client,
    serviceToken: sha256('token'),
  };
}

/** The bridge looks at the mode of its key's file on the machine itself; everything else of it is in memory. */
function realKeys(server: Issued): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'nc-simulate-'));
  const places = placesIn(dataDir);
  mkdirSync(dirname(places.serverKey), { recursive: true });
  writeFileSync(places.serverKey, server.keyPem);
  chmodSync(places.serverKey, 0o600);
  return dataDir;
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const print = (pem: string): string =>
  new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
