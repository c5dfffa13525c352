/** Puts the whole lab together: the world on its sockets, the edges, the bridge, the repositories. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import type { PowerShell } from '../test/powershell/engine.ts';
import { claimAddresses } from './address-space.ts';
import { startBridge, templateText, type BridgeProcess } from './bridge-process.ts';
import { componentsOf, type Component } from './components.ts';
import { makeExample, type ExampleInput, type ExampleShape } from './example.ts';
import { followQuorum, type Quorum } from './quorum.ts';
import type { Endpoint } from './runner/run.ts';
import { serveBuilds, type BuildService } from './servers/builds.ts';
import { serveControl, type RkeHandler } from './servers/control.ts';
import { startDns, type RunningDns } from './servers/dns/dns.ts';
import { writeEngine } from './servers/engine.ts';
import { openEtcd } from './servers/etcd.ts';
import { serveKube } from './servers/kube.ts';
import { servePowerShell, type PowerShellHost } from './servers/powershell.ts';
import { makeSshKey } from './servers/proxy/sshd.ts';
import { startProxy, type RunningProxy } from './servers/proxy/proxy.ts';
import { rkeHandler, rkeWrapper } from './servers/rke.ts';
import { serveNodeSsh } from './servers/ssh-nodes.ts';
import { serveWorkloads } from './servers/workloads.ts';
import { createWorld, type LabWorld } from './world/create.ts';
import type { EtcdCluster } from './world/world.ts';
import { etcdMaterial } from './world/etcd/machines.ts';
import { initialWorld, type InitialWorld } from './world/nodes/initial.ts';
import { runArgo } from './world/workloads/argocd.ts';
import { installWorkloads } from './world/workloads/manifests.ts';

export interface LabOptions {
  /** A folder of its own; everything that the lab writes is in it. */
  dir: string;
  seed: number;
  shape?: ExampleShape | undefined;
  /** Hyper-V hosts, each with a bridge of its own. Default: one. */
  hosts?: number | undefined;
  templates?: string | undefined;
  /** TTL of every record, instead of the example's. */
  ttlSeconds?: number | undefined;
  /** The pipeline's files, before they are committed. */
  pipelines?: ((files: Record<string, string>) => Record<string, string>) | undefined;
  /** Stand-ins even where the real component is installed. */
  standIns?: boolean | undefined;
  /** Runs the bridge's own scripts; without it the world plays what they do. */
  engine?: PowerShell | undefined;
}

export interface Lab {
  dir: string;
  example: ExampleInput;
  world: LabWorld;
  initial: InitialWorld;
  etcd: EtcdCluster;
  quorum: Quorum;
  /** One for each host, in the order of `example.hosts`. */
  bridges: BridgeProcess[];
  proxy: RunningProxy;
  dns: RunningDns;
  builds: BuildService;
  /** Service connections as the pipeline names them. */
  endpoints: Record<string, Endpoint>;
  /** State directory of the agent, outside of its work folder. */
  stateDir: string;
  components: Component[];
  stop(): Promise<void>;
}

/** The lab's rke is in more of a hurry than the modelled one; what it does and in which order is the same. */
const RKE_PACE = 0.25;

const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const DIST = join(ROOT, 'dist');
/** nginx keeps workers that were told to go for so long; streams live until then. */
export const WORKER_SHUTDOWN_SECONDS = 20;

export async function startLab(options: LabOptions): Promise<Lab> {
  const { dir } = options;
  mkdirSync(dir, { recursive: true });
  // named works as another user and must get through this folder; what is secret in it is closed by itself.
  chmodSync(dir, 0o711);
  const ends: (() => unknown)[] = [];
  const stop = async () => {
    for (const end of ends.reverse()) await end();
  };
  try {
    return await assemble(options, ends, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function assemble(
  options: LabOptions,
  ends: (() => unknown)[],
  stop: () => Promise<void>,
): Promise<Lab> {
  const { dir, seed } = options;
  const space = await claimAddresses();
  ends.push(() => space.release());
  const example = makeExample({
    dir: join(dir, 'example'),
    base: space.base,
    seed,
    nowMs: Date.now(),
    shape: options.shape,
    hosts: options.hosts,
    templates: options.templates,
  });
  // The golden image was built from today's template, so that the bridge does not find it stale.
  for (const host of example.hosts)
    for (const image of host.images) image.sourceHash = sha256(sha256(templateText()));
  const world = createWorld({ cluster: example.cluster, seed, hosts: example.hosts });
  ends.push(() => world.close());

  let etcdCalls = 0;
  const etcd = openEtcd({
    clock: world.clock,
    random: world.random,
    ports: { client: example.ports.etcdClient, peer: example.ports.etcdPeer },
    material: (address) => etcdMaterial(world, address),
    dir: join(dir, 'etcd'),
    kind: options.standIns === true ? 'stand-in' : 'auto',
    onCall: () => (etcdCalls += 1),
  });
  ends.push(() => etcd.close());
  let rke: RkeHandler = () => Promise.reject(new Error('the world is not up yet'));
  const control = await serveControl(world, { rke: (request, write, signal) => rke(request, write, signal) });
  ends.push(() => control.close());

  const parts = [
    initialWorld(example, world, etcd, { pace: RKE_PACE }),
    // The VMs are on their hosts by now.
    startEdges(options, example, world, control.url, ends),
  ] as const;
  // One that fails must not leave the other behind: both are awaited.
  await Promise.allSettled(parts);
  const initial = await parts[0];
  const { proxy, proxyKey, dns, bridges, powershell } = await parts[1];
  // A person does this once, on each host: the bridge takes in the VMs that it did not make.
  const names = `${example.cluster}-n*`;
  const adopted = Promise.all(
    bridges.map((bridge) =>
      bridge.command('adopt', '--cluster', example.cluster, '--all-matching', names, '--yes'),
    ),
  );
  // Looked at below; until then a failure must not end the process.
  adopted.catch(() => undefined);
  rke = rkeHandler(initial.rke);
  const kube = serveKube(world, { port: example.ports.api, tls: (machine) => apiserverTls(machine.files) });
  ends.push(() => kube.close());
  const { ingressHttp, ingressStream } = example.ports;
  const workloads = serveWorkloads(world, {
    listen: (machine) => ({ host: machine.address, httpPort: ingressHttp, streamPort: ingressStream }),
  });
  ends.push(() => workloads.close());
  installWorkloads(world.kube.store, { http: ingressHttp, stream: ingressStream });
  const ssh = serveNodeSsh(world, { port: example.ports.ssh });
  ends.push(() => ssh.close());
  await Promise.all([kube.settle(), ssh.ready()]);

  const rkeBinary = join(dir, 'bin', 'rke');
  rkeWrapper(rkeBinary, process.execPath, join(DIST, 'lab', 'rke.cjs'), control.url);
  const stateDir = join(dir, 'state');
  example.publish({
    proxy: {
      address: proxy.target.host,
      port: proxy.target.port,
      user: proxy.target.user,
      hostKey: proxy.target.hostKeys[0] ?? '',
    },
    dnsServers: dns.servers,
    dnsKeyName: dns.key.name,
    rkeBinary,
    stateDir,
    extraFiles: options.pipelines?.(pipelineFiles(bridges)) ?? pipelineFiles(bridges),
  });
  ends.push(
    runArgo(world, {
      namespace: 'argocd',
      application: 'ingress-nginx',
      tip: () => valuesTip(example.repositories.gitops),
    }),
  );
  await Promise.all([adopted, settled(world)]);
  const quorum = followQuorum(world, etcd);
  ends.push(() => quorum.stop());
  const token = randomBytes(24).toString('hex');
  const builds = await serveBuilds(token);
  ends.push(() => builds.close());
  return {
    ...{ dir, example, world, initial, etcd, quorum, bridges, proxy, dns, builds, stateDir, stop },
    endpoints: endpointsOf({
      example,
      bridges,
      proxyKey: proxyKey.privateKey,
      dns,
      token,
      service: builds.url,
    }),
    components: componentsOf({
      ...{ world, example, etcd, bridges, proxy, dns, powershell },
      etcdCalls: () => etcdCalls,
      engine: options.engine,
    }),
  };
}

/** The proxy, the zone and the hosts, started beside each other. */
async function startEdges(
  options: LabOptions,
  example: ExampleInput,
  world: LabWorld,
  controlUrl: string,
  ends: (() => unknown)[],
): Promise<{
  proxy: RunningProxy;
  proxyKey: ReturnType<typeof makeSshKey>;
  dns: RunningDns;
  bridges: BridgeProcess[];
  powershell: PowerShellHost[];
}> {
  const { dir, engine } = options;
  const use = options.standIns === true ? 'stand-in' : undefined;
  const proxyKey = makeSshKey();
  const proxy = startProxy({
    dir: join(dir, 'proxy'),
    ...example.nginx,
    address: example.proxyAddress,
    sshPort: 2022,
    key: proxyKey,
    workerShutdownSeconds: WORKER_SHUTDOWN_SECONDS,
    ...(use === undefined ? {} : { useNginx: use, useSshd: use }),
  });
  const dns = startDns({
    dir: join(dir, 'dns'),
    zone: example.zone,
    records: example.dnsRecords.map((record) => ({ ...record, ttl: options.ttlSeconds ?? record.ttl })),
    address: '127.0.0.1',
    port: 0,
    secondary: { address: '127.0.0.1', port: 0 },
    ...(use === undefined ? {} : { use }),
  });
  const dirOf = (host: string) => join(dir, 'hosts', host);
  const powershell =
    engine === undefined
      ? []
      : example.hosts.map((host) =>
          servePowerShell(world, host, { dir: join(dirOf(host.name), 'host'), engine }),
        );
  for (const host of powershell) ends.push(() => host.stop());
  const bridges = example.hosts.map(({ name }, index) =>
    bridgeOn(example, name, dirOf(name), controlUrl, powershell[index]),
  );
  for (const part of [proxy, dns, ...bridges])
    void part.then((one) => ends.push(() => one.stop())).catch(() => undefined);
  // One that fails must not leave the others behind: all are awaited.
  await Promise.allSettled([proxy, dns, ...bridges]);
  return { proxy: await proxy, proxyKey, dns: await dns, bridges: await Promise.all(bridges), powershell };
}

async function bridgeOn(
  example: ExampleInput,
  host: string,
  dir: string,
  controlUrl: string,
  powershell: PowerShellHost | undefined,
): Promise<BridgeProcess> {
  const bundles = join(DIST, 'agent-bridge');
  if (powershell !== undefined) return startBridge(example, { dir, bundles, ...powershell, warm: true });
  const engine = join(dir, 'engine');
  await writeEngine(engine, { url: controlUrl, host, program: [join(DIST, 'lab', 'engine.cjs')] });
  // The model runs scripts and takes no commands.
  const modelled = { engine, vmRoot: 'D:\\VMs', imageRoot: 'D:\\Images', warm: false };
  return startBridge(example, { dir, bundles, ...modelled });
}

async function settled(world: LabWorld): Promise<void> {
  await untilQuiet(world);
  // A fresh ingress answers 502 until its view of the endpoints is full.
  await new Promise((resolve) =>
    setTimeout(resolve, world.timing.endpointLagMax + world.timing.ingressLagMax),
  );
}

function sha256(data: string): string {
  return createHash('sha256').update(data).digest('hex');
}

function apiserverTls(files: ReadonlyMap<string, Uint8Array>): { cert: string; key: string; ca: string } {
  const read = (name: string) => Buffer.from(files.get(`/etc/kubernetes/ssl/${name}`) ?? []).toString('utf8');
  return { cert: read('kube-apiserver.pem'), key: read('kube-apiserver-key.pem'), ca: read('kube-ca.pem') };
}

/** `node-cycle-bridge`, and with several hosts `node-cycle-bridge-2` and so on. */
const connectionName = (index: number): string => `node-cycle-bridge${index === 0 ? '' : `-${index + 1}`}`;

/** The product's own pipelines, as a user copies them into the repository, with the names of all bridges in them. */
function pipelineFiles(bridges: readonly BridgeProcess[]): Record<string, string> {
  const files: Record<string, string> = {};
  for (const folder of ['pipelines', 'pipelines/templates']) {
    for (const name of readdirSync(join(ROOT, folder))) {
      if (name.endsWith('.yml')) files[`${folder}/${name}`] = readFileSync(join(ROOT, folder, name), 'utf8');
    }
  }
  const names = bridges.map((_, index) => connectionName(index)).join(', ');
  const cycle = files['pipelines/cycle.yml'] ?? '';
  files['pipelines/cycle.yml'] = cycle.replace(`bridge: ${connectionName(0)}\n`, `bridge: ${names}\n`);
  return files;
}

/** What a GitOps tool sees: the newest commit, and the ingress addresses in it. */
async function valuesTip(repository: string): Promise<{ revision: string; externalIPs: string[] }> {
  const git = async (...args: string[]) => (await run('git', ['-C', repository, ...args])).stdout;
  const revision = (await git('rev-parse', 'refs/heads/main')).trim();
  const values = parse(await git('show', `${revision}:apps/ingress-nginx/values.yaml`)) as {
    controller?: { service?: { externalIPs?: string[] } };
  };
  return { revision, externalIPs: values.controller?.service?.externalIPs ?? [] };
}

const QUIET_MS = 20_000;

/** Every Node Ready and every pod running: the story begins with a healthy cluster. */
async function untilQuiet(world: LabWorld): Promise<void> {
  const { store } = world.kube;
  const deadline = Date.now() + QUIET_MS;
  for (;;) {
    const nodes = store.list('nodes');
    const pods = store.list('pods');
    const ready = nodes.every(({ status }) =>
      status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    );
    const running =
      pods.length > 0 &&
      pods.every(({ status }) =>
        status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
      );
    if (ready && running) return;
    if (Date.now() > deadline) throw new Error('The lab’s cluster did not become healthy.');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function endpointsOf(parts: {
  example: ExampleInput;
  bridges: readonly BridgeProcess[];
  proxyKey: string;
  dns: RunningDns;
  token: string;
  service: string;
}): Record<string, Endpoint> {
  const endpoint = (
    id: string,
    url: string,
    authParameters: Record<string, string>,
    data: Record<string, string> = {},
  ): Endpoint => ({
    ...{ id, url, scheme: 'None', authParameters, data },
  });
  const bridges = parts.bridges.map(({ enrolled }, index) => [
    connectionName(index),
    endpoint(
      `bridge${index + 1}`,
      enrolled.url,
      { certificate: enrolled.cert, key: enrolled.key },
      { serverFingerprint: enrolled.serverPin },
    ),
  ]);
  return {
    ...(Object.fromEntries(bridges) as Record<string, Endpoint>),
    'node-cycle-nodes': endpoint('nodes', 'ssh://nodes', {
      privateKey: parts.example.nodeKey.private,
    }),
    'node-cycle-proxy': endpoint('proxy', 'ssh://proxy', { privateKey: parts.proxyKey }),
    'node-cycle-tsig': endpoint('tsig', 'dns://zone', {
      password: parts.dns.key.secret,
    }),
    SystemVssConnection: endpoint('SystemVssConnection', parts.service, { AccessToken: parts.token }),
  };
}
