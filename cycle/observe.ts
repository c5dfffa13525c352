/** Reads the parts of the world that a step asked for, over the context's clients. Reads only. */
import { CodedError } from '../ports/errors.ts';
import { observeEtcd } from './cluster/etcd/members.ts';
import { observeKube, nodeByName } from './cluster/kubernetes/observe.ts';
import { readLock } from './cluster/kubernetes/lease.ts';
import { parseClusterYml, type RkeNode } from './cluster/rke/cluster-yml.ts';
import { mustReadAtTip, waitMs, type Context } from './context.ts';
import { connectionsTo, type ProxyObservation } from './edge/nginx/proxy.ts';
import { ingressAddresses } from './edge/gitops/values.ts';
import { observeSync } from './edge/gitops/observe-sync.ts';
import { factsFromAnnotations } from './facts.ts';
import { readHosts, readVms, type VmsSeen } from './hosts.ts';
import { addressOf, type Answer, type Intent, type ProxySeen, type World } from './observed.ts';
import { setsOf } from './plan/dns-records.ts';
import type { SshTarget } from '../ports/ports.ts';
import { pinnedKeys } from './plan/known-hosts.ts';
import { askProbe, nodeProbeRequest, probesOf, userProbeRequest, type ProbeRequest } from './probe.ts';
import { describe } from './step.ts';
import { aliasProbe, nodeProbe, proxyProbe } from './plan/probes.ts';

/** Whom the observation is about; `logins` says which SSH logins are worth trying. */
export interface Focus {
  leaving?: string | undefined;
  staying?: string | undefined;
  logins: 'staying' | 'all' | 'none';
}

/** One read of one far side. Longer than any healthy answer, short enough that the poll goes on. */
const READ_MS = 20_000;
const LOGIN_MS = 10_000;
/** A login is trusted for this long, unless a fresh observation is asked for. */
const LOGIN_FRESH_MS = 5_000;

export async function observe<K extends keyof World>(
  ctx: Context,
  keys: readonly K[],
  focus: Focus,
  signal: AbortSignal,
  fresh = false,
): Promise<Pick<World, K>> {
  const wants = new Set<keyof World>(keys);
  const wait = waitMs(READ_MS, signal);
  const needs = (...any: (keyof World)[]) => any.some((key) => wants.has(key));
  if (fresh) ctx.logins.clear();
  // One fetch for all that is read out of the repository.
  const tip = needs('intent', 'ssh', 'apiservers', 'proxies', 'probes', 'knownHosts')
    ? ctx.repo.tip(wait)
    : Promise.resolve('');
  tip.catch(() => undefined);

  const [lock, hosts, vmRead, intent, knownHosts, kube, etcd, proxies, ingress] = await Promise.all([
    readLockOf(ctx, signal),
    needs('hosts') ? readHosts(ctx.bridges, wait) : undefined,
    needs('vms', 'jobs', 'ssh', 'probes', 'dns', 'intent')
      ? readVms(ctx.bridges, ctx.config.cluster, wait)
      : undefined,
    needs('intent', 'ssh', 'apiservers', 'proxies', 'probes')
      ? tip.then((at) => intentAt(ctx, at, signal))
      : undefined,
    needs('knownHosts', 'ssh') ? tip.then((at) => knownHostsAt(ctx, at, signal)) : undefined,
    needs('kube')
      ? ctx.cluster.kube().then((api) => observeKube(api, { wait, nowMs: ctx.ports.clock.now() }))
      : undefined,
    needs('etcd')
      ? ctx.cluster
          .etcd()
          .then((target) => observeEtcd(ctx.ports.http, target, { wait, nowMs: ctx.ports.clock.now() }))
      : undefined,
    needs('proxies') ? Promise.all(ctx.proxies.map((proxy) => proxy.observe(wait))) : [],
    needs('ingress') ? readIngress(ctx, signal) : undefined,
  ]);
  const facts = factsFromAnnotations(lock?.annotations ?? {});
  const known = { facts, vms: vmRead?.vms ?? [], intent: intent ?? EMPTY_INTENT };
  const address = (name: string | undefined) =>
    name === undefined ? undefined : addressOf(known, ctx.config.cluster, name);
  const names = [focus.leaving, focus.staying].filter((name) => name !== undefined);
  if (vmRead !== undefined) mustKnow(ctx, vmRead, names, needs('hosts', 'reservations'));

  const [ssh, apiservers, dns, probes, readyInARow, reservations] = await Promise.all([
    needs('ssh') ? logIns(ctx, focus, known.intent, knownHosts ?? '', address, signal) : {},
    needs('apiservers') ? askApiservers(ctx, known.intent, signal) : {},
    needs('dns') && ctx.dns !== undefined ? ctx.dns.read(setsOf(ctx.config, names), wait) : [],
    needs('probes') ? askProbes(ctx, wants, address(focus.staying), signal) : {},
    needs('readyInARow') && kube !== undefined ? countReady(ctx, focus.staying, signal) : {},
    needs('reservations') ? lookUp(ctx, names, signal) : {},
  ]);

  const world: Partial<World> = {
    nowMs: ctx.ports.clock.now(),
    lock,
    facts,
    ...(hosts === undefined ? {} : { hosts }),
    vms: known.vms,
    jobs: vmRead?.jobs ?? [],
    intent: known.intent,
    knownHosts: knownHosts ?? '',
    ...(kube === undefined ? {} : { kube }),
    readyInARow,
    ...(etcd === undefined ? {} : { etcd }),
    apiservers,
    ssh,
    proxies: proxies.map((seen: ProxyObservation): ProxySeen => {
      const connections = Object.fromEntries(
        names
          .map(address)
          .filter((found) => found !== undefined)
          .map((found) => [found, connectionsTo(seen, found)]),
      );
      const { name, files, workers, loaded } = seen;
      return { name, files, workers, loaded, connections };
    }),
    ingress,
    dns,
    probes,
    reservations,
    evidence: Object.fromEntries(ctx.evidence),
    ...(needs('state') ? { state: await ctx.cluster.state() } : {}),
  };
  return Object.fromEntries(keys.map((key) => [key, world[key]])) as Pick<World, K>;
}

/**
 * A host that does not answer may hold any VM that was not found elsewhere. Who makes, places or deletes VMs, or gives
 * addresses back, reads out of the list that a VM is not there, so it needs every host.
 */
function mustKnow(
  ctx: Context,
  { vms, silent }: VmsSeen,
  names: readonly string[],
  everyHost: boolean,
): void {
  const [first] = silent;
  if (first === undefined) return;
  const found = (name: string) =>
    vms.some(({ marker }) => marker?.cluster === ctx.config.cluster && marker.node === name);
  const missing = names.filter((name) => !found(name));
  if (!everyHost && missing.length === 0) return;
  throw new CodedError(
    first.code,
    `${first.detail}; it may hold the VM of ${missing.join(' and of ') || 'any node'}.`,
    silent.map(({ detail }) => detail),
    { cause: first },
  );
}

const EMPTY_INTENT: Intent = {
  commit: '',
  text: '',
  yml: { nodes: [], sans: [], drainOnUpgrade: false, problems: [] },
};

export async function readLockOf(ctx: Context, signal: AbortSignal) {
  return readLock(await ctx.cluster.kube(), ctx.config.cluster, waitMs(READ_MS, signal));
}

export async function readIntent(ctx: Context, signal: AbortSignal): Promise<Intent> {
  return intentAt(ctx, await ctx.repo.tip(waitMs(READ_MS, signal)), signal);
}

async function intentAt(ctx: Context, commit: string, signal: AbortSignal): Promise<Intent> {
  const text = await ctx.repo.read(commit, ctx.config.rke.config, waitMs(READ_MS, signal));
  if (text === undefined) {
    throw new CodedError(
      'NC1002',
      `${ctx.config.rke.config} is not at the branch's tip (${commit.slice(0, 10)}).`,
    );
  }
  return { commit, text, yml: parseClusterYml(text) };
}

/** A repository without known_hosts pins nothing yet. */
async function knownHostsAt(ctx: Context, commit: string, signal: AbortSignal): Promise<string> {
  return (await ctx.repo.read(commit, ctx.config.ssh.knownHosts, waitMs(READ_MS, signal))) ?? '';
}

async function readIngress(ctx: Context, signal: AbortSignal): Promise<World['ingress']> {
  const { ingress } = ctx.config;
  if (ingress === undefined || ctx.gitops === undefined) return undefined;
  const { commit, text } = await mustReadAtTip(ctx.gitops, ingress.file, waitMs(READ_MS, signal));
  const addresses = ingressAddresses(text, ingress.path);
  const notSynced = await observeSync(ctx, commit, signal);
  return { commit, text, addresses, notSynced };
}

/** rke's own way in, with more care: the pinned host key, the entry's user and port, the one key. */
async function logIns(
  ctx: Context,
  focus: Focus,
  intent: Intent,
  knownHosts: string,
  address: (name: string | undefined) => string | undefined,
  signal: AbortSignal,
): Promise<World['ssh']> {
  if (focus.logins === 'none') return {};
  const staying = address(focus.staying);
  const targets = new Map<string, RkeNode | undefined>();
  if (staying !== undefined) targets.set(staying, undefined);
  if (focus.logins === 'all') for (const node of intent.yml.nodes) targets.set(node.address, node);
  const like =
    intent.yml.nodes.find((node) => node.address === address(focus.leaving)) ?? intent.yml.nodes[0];
  const answers = await Promise.all(
    [...targets].map(
      async ([host, entry]) => [host, await logIn(ctx, host, entry ?? like, knownHosts, signal)] as const,
    ),
  );
  return Object.fromEntries(answers);
}

async function logIn(
  ctx: Context,
  host: string,
  entry: RkeNode | undefined,
  knownHosts: string,
  signal: AbortSignal,
): Promise<Answer> {
  const now = ctx.ports.clock.now();
  const recent = ctx.logins.get(host);
  if (recent !== undefined && recent.answer === 'ok' && now - recent.atMs < LOGIN_FRESH_MS) return 'ok';
  const target = targetAt(ctx, host, entry, knownHosts);
  if (target.hostKeys.length === 0) return `known_hosts has no key for ${host} port ${target.port}`;
  let answer: Answer;
  try {
    const result = await ctx.ports.ssh({ target, command: 'true', deadlineMs: LOGIN_MS, signal });
    answer = result.exitCode === 0 ? 'ok' : `\`true\` ended with ${result.exitCode ?? 'a signal'}`;
  } catch (error) {
    answer = describe(error);
  }
  ctx.logins.set(host, { answer, atMs: now });
  return answer;
}

function targetAt(ctx: Context, host: string, entry: RkeNode | undefined, knownHosts: string): SshTarget {
  const port = Number(entry?.port ?? '22');
  const hostKeys = pinnedKeys(knownHosts, host, port);
  return { host, port, user: entry?.user ?? 'root', privateKey: ctx.nodesKey.reveal(), hostKeys };
}

/** How a node that has no entry of its own yet is logged in to: as the entry of the address `like` says. */
export async function loginTarget(
  ctx: Context,
  host: string,
  like: string | undefined,
  signal: AbortSignal,
): Promise<SshTarget> {
  const tip = await ctx.repo.tip(waitMs(READ_MS, signal));
  const [{ yml }, knownHosts] = await Promise.all([
    intentAt(ctx, tip, signal),
    knownHostsAt(ctx, tip, signal),
  ]);
  const entry = [host, like].map((at) => yml.nodes.find((node) => node.address === at)).find(Boolean);
  return targetAt(ctx, host, entry ?? yml.nodes[0], knownHosts);
}

/** Nothing when the service cannot be asked by name. */
async function lookUp(
  ctx: Context,
  names: readonly string[],
  signal: AbortSignal,
): Promise<World['reservations']> {
  const find = ctx.reservations?.find;
  if (find === undefined) return {};
  const answers = await Promise.all(
    [...new Set(names)].map(async (name) => [name, (await find(name, signal)) ?? 'none'] as const),
  );
  return Object.fromEntries(answers);
}

async function askApiservers(
  ctx: Context,
  intent: Intent,
  signal: AbortSignal,
): Promise<World['apiservers']> {
  const api = await ctx.cluster.kube();
  const port = api.servers[0] === undefined ? '6443' : new URL(api.servers[0]).port || '443';
  const answers = await Promise.all(
    intent.yml.nodes
      .filter((node) => node.roles.includes('controlplane'))
      .map(async ({ address }) => {
        const result = await api.text('/readyz', waitMs(LOGIN_MS, signal), `https://${address}:${port}`);
        return [address, result.ok ? 'ok' : `${result.status} ${result.reason} ${result.message}`] as const;
      }),
  );
  return Object.fromEntries(answers);
}

/** Each probe comes with the part of the world that it is about. */
async function askProbes(
  ctx: Context,
  wants: ReadonlySet<keyof World>,
  staying: string | undefined,
  signal: AbortSignal,
): Promise<World['probes']> {
  const { ingress, proxies, dns } = ctx.config;
  const requests: [string, ProbeRequest][] = [];
  for (const proxy of wants.has('proxies') ? proxies : [])
    for (const probe of probesOf(proxy))
      requests.push([proxyProbe(proxy.name, probe.url), userProbeRequest(probe, proxy.host)]);
  if (staying !== undefined) {
    if (wants.has('ingress') && ingress?.probe !== undefined)
      requests.push([nodeProbe(staying), nodeProbeRequest(ingress.probe, staying)]);
    for (const { name, probe } of wants.has('dns') ? (dns?.aliases ?? []) : [])
      if (probe !== undefined) requests.push([aliasProbe(name, staying), userProbeRequest(probe, staying)]);
  }
  const answers = await Promise.all(
    requests.map(async ([key, request]) => [key, await askProbe(ctx.ports, request, signal)] as const),
  );
  return Object.fromEntries(answers);
}

/** Looks several times in a row, and stops at the first that does not find the node Ready. */
async function countReady(
  ctx: Context,
  name: string | undefined,
  signal: AbortSignal,
): Promise<World['readyInARow']> {
  if (name === undefined) return {};
  const api = await ctx.cluster.kube();
  for (let seen = 0; seen < ctx.config.kubernetes.readyInARow; seen += 1) {
    if (seen > 0) await ctx.ports.clock.sleep(ctx.config.pace.pollMs, signal);
    const now = await observeKube(api, {
      wait: waitMs(READ_MS, signal),
      nowMs: ctx.ports.clock.now(),
      parts: ['nodes'],
    });
    if (nodeByName(now, name)?.ready !== true) return { [name]: seen };
  }
  return { [name]: ctx.config.kubernetes.readyInARow };
}
