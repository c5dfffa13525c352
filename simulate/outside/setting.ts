/** The whole world of one seed in this process: the lab's model with all far sides around it, and the real bridge. */
import { parse } from 'yaml';
import { SCRIPT_TEXTS } from '../../agent-bridge/host/script-texts.ts';
import { adopt } from '../../agent-bridge/service/adopt.ts';
import { placesIn } from '../../agent-bridge/service/places.ts';
import { createWorld, type LabWorld } from '../../lab/world/create.ts';
import { makeWith } from '../../lab/world/certs/issue.ts';
import { pass } from '../../lab/world/clock.ts';
import { modelledCluster } from '../../lab/world/etcd/cluster.ts';
import { etcdModel, type EtcdModel } from '../../lab/world/etcd/model.ts';
import { initialWorld, type InitialWorld } from '../../lab/world/nodes/initial.ts';
import { runArgo } from '../../lab/world/workloads/argocd.ts';
import { installWorkloads } from '../../lab/world/workloads/manifests.ts';
import type { RkeSurroundings } from '../../lab/world/rke/rke.ts';
import { timing, type Timing } from '../../lab/world/timing.ts';
import { chance } from '../chance.ts';
import type { VirtualTime } from '../time.ts';
import { bridgeMachine, type BridgeMachine } from './bridge-machine.ts';
import type { HttpFarSides } from './http.ts';
import { DNS_SERVERS, PROXY_SSH_PORT, RKE_BINARY, STATE_DIR, type Input } from './input.ts';
import type { ProxyAccount } from './guests.ts';
import { proxyModel, type ProxyModel } from './proxy.ts';
import { repository, type Repository } from './repository.ts';
import { storage, type Storage } from './storage.ts';
import { zone, type Zone } from './zone.ts';

export interface Setting {
  input: Input;
  world: LabWorld;
  etcd: EtcdModel;
  initial: InitialWorld;
  rke: RkeSurroundings;
  bridge: BridgeMachine;
  repo: Repository;
  gitops: Repository;
  zone: Zone;
  proxy: ProxyModel;
  account: ProxyAccount;
  /** The agent machine's disk. */
  agent: Storage;
  http: HttpFarSides;
  /** Runs that have ended, by id; one that is in it as false is under way. */
  runs: Map<string, boolean>;
  /** What the bridge said about itself that was no end of a job. */
  trouble: string[];
  vmSteady: number;
  close(): void;
}

/** The lab's, but for what beats all the time and would be half of all events. */
const PACE: Timing = { ...timing(), heartbeat: 2_500, notReadyAfter: 8_000 };
/** As the lab's: what rke does and in which order is the same. */
const RKE_PACE = 0.25;
const VALUES = 'apps/ingress-nginx/values.yaml';
const ARGO_POLL_MS = 15_000;
const QUIET_MS = 30_000;
const made = new Map<string, unknown>();

export async function makeSetting(seed: number, input: Input, time: VirtualTime): Promise<Setting> {
  makeWith((what, make) => {
    const known = made.get(what) as ReturnType<typeof make> | undefined;
    const work = known ?? make();
    if (known === undefined) made.set(what, work);
    // The same moment, whether it was made now or for another seed.
    return Promise.all([known === undefined ? time.outside(work) : work, pass(time, 1)]).then(
      ([value]) => value,
    );
  });
  const { example } = input;
  const drawn = chance(seed, 'bridge');
  const world = createWorld({
    cluster: example.cluster,
    seed,
    hosts: example.hosts,
    clock: time,
    timing: PACE,
  });
  const etcd = etcdModel({
    clock: world.clock,
    random: world.random,
    ports: { client: example.ports.etcdClient, peer: example.ports.etcdPeer },
  });
  const cluster = modelledCluster(etcd, world.clock, {
    open: () => Promise.resolve(),
    shut: () => Promise.resolve(),
  });
  const repo = repository('cluster', input.texts.user);
  const gitops = repository('gitops', input.texts.gitops);
  const names = zone(time, {
    name: example.zone,
    servers: DNS_SERVERS,
    key: input.tsig,
    records: example.dnsRecords,
  });
  const proxy = proxyModel(time, proxyFiles(input));
  const trouble: string[] = [];
  const host = storage(time.nowMs);
  const { dataDir } = input.policy;
  host.put(placesIn(dataDir).serverCertificate, input.server.certPem);
  host.put(placesIn(dataDir).serverKey, input.server.keyPem);
  host.put(input.template.path, input.template.text);
  for (const [file, text] of SCRIPT_TEXTS) host.put(`${input.policy.scriptsDir}/${file}`, text);
  const bridge = bridgeMachine({
    ...{ time, world, policy: input.policy, store: host },
    host: example.hosts[0]?.name ?? '',
    url: 'https://bridge.simulated:8443',
    random: { bytes: drawn.bytes },
    serverPin: input.server.pin,
    report(event, fields) {
      if (event !== 'jobEnded') trouble.push(`${event} ${JSON.stringify(fields)}`);
    },
  });
  const initial = await initialWorld(example, world, cluster, { pace: RKE_PACE });
  world.kube.setStorage(() => etcd.leader() !== undefined);
  const { ingressHttp, ingressStream } = example.ports;
  installWorkloads(world.kube.store, { http: ingressHttp, stream: ingressStream });
  const stopArgo = runArgo(world, {
    namespace: 'argocd',
    application: 'ingress-nginx',
    pollMs: ARGO_POLL_MS,
    tip: () => Promise.resolve({ revision: gitops.tip().id, externalIPs: addressesIn(gitops.tip().files) }),
  });
  await adopt(
    input.policy,
    { cluster: example.cluster, allMatching: `${example.cluster}-n*` },
    { ...bridge.ports(), print: () => undefined, confirm: () => Promise.resolve(true) },
  );
  await bridge.start();
  await untilQuiet(world);
  const agent = storage(time.nowMs);
  agent.put(RKE_BINARY, 'rke', 0o755);
  agent.folders.add(STATE_DIR);
  agent.put(`${STATE_DIR}/cluster.rkestate`, initial.state);
  const runs = new Map<string, boolean>();
  return {
    ...{
      input,
      world,
      etcd,
      initial,
      rke: initial.rke,
      bridge,
      repo,
      gitops,
      zone: names,
      proxy,
      agent,
      runs,
      trouble,
    },
    account: {
      host: example.proxyAddress,
      port: PROXY_SSH_PORT,
      hostKey: input.proxyHostKey,
      privateKey: input.proxyKey.private,
      model: proxy,
    },
    http: {
      ...{ world, etcd, bridge },
      service: {
        url: 'https://service.simulated/home',
        token: input.serviceToken,
        isOver: (run) => runs.get(run),
      },
      proxy: {
        address: example.proxyAddress,
        port: example.ports.proxyHttp,
        upstream: 'ingress_http',
        model: proxy,
      },
      ports: { api: example.ports.api, etcdClient: example.ports.etcdClient, ingressHttp },
    },
    vmSteady: world.hosts.running(),
    close() {
      bridge.kill();
      stopArgo();
      world.close();
    },
  };
}

/** The same few texts are read again and again. */
export function remembered<T>(read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const value = read(text);
    known.set(text, value);
    return value;
  };
}

const externalIPs = remembered((text) => {
  const values = parse(text) as { controller?: { service?: { externalIPs?: string[] } } } | null;
  return values?.controller?.service?.externalIPs ?? [];
});

export function addressesIn(files: ReadonlyMap<string, string>): string[] {
  return externalIPs(files.get(VALUES) ?? '');
}

function proxyFiles({ example }: Input): Record<string, string> {
  return Object.fromEntries(
    (['http', 'stream'] as const).flatMap((kind) =>
      Object.entries(example.nginx[kind]).map(([name, text]) => [`/etc/nginx/${kind}/${name}`, text]),
    ),
  );
}

/** Every Node Ready and every pod running: the story begins with a healthy cluster. */
async function untilQuiet(world: LabWorld): Promise<void> {
  const { store } = world.kube;
  const ready = ({ status }: { status: { conditions?: { type: string; status: string }[] | undefined } }) =>
    status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
  const endMs = world.clock.nowMs() + QUIET_MS;
  while (world.clock.nowMs() < endMs) {
    const pods = store.list('pods');
    if (pods.length > 0 && store.list('nodes').every(ready) && pods.every(ready)) return;
    await pass(world.clock, 250);
  }
  throw new Error('the cluster did not become healthy');
}
