/** What PlanCycle looks at besides the world of the steps: history, whether the lock's holder has ended. */
import { localServices } from './cluster/kubernetes/services.ts';
import { parseClusterYml } from './cluster/rke/cluster-yml.ts';
import { upstreamServers } from './edge/nginx/upstreams.ts';
import { membersOn } from './edge/dns/zone.ts';
import type { Config } from './config/schema.ts';
import { reviewedFiles, waitMs, type Context } from './context.ts';
import { proposed } from './edge/gitops/pull-request.ts';
import { observe, readLockOf } from './observe.ts';
import type { World } from './observed.ts';
import { aliasSet } from './plan/dns-records.ts';
import { judgeAges } from './plan/due.ts';
import { factsFromAnnotations, pairOf, type Facts } from './facts.ts';
import type { WorldSnapshot } from './record.ts';
import { directionOf, type PlanInput, type PlanWorld } from './steps/plan-cycle.ts';

/** Names and addresses of that many versions of cluster.yml are never used again. */
const HISTORY_COMMITS = 1_000;
const GIT_MS = 60_000;
const READ_MS = 20_000;

const ALL: readonly (keyof World)[] = [
  'nowMs',
  'lock',
  'facts',
  'hosts',
  'vms',
  'jobs',
  'kube',
  'readyInARow',
  'etcd',
  'intent',
  'state',
  'apiservers',
  'knownHosts',
  'ssh',
  'proxies',
  'ingress',
  'dns',
  'probes',
  'reservations',
  'evidence',
];

export async function observePlanWorld(
  ctx: Context,
  input: PlanInput,
  signal: AbortSignal,
): Promise<PlanWorld> {
  const lock = await readLockOf(ctx, signal);
  const facts = factsFromAnnotations(lock?.annotations ?? {});
  const pair = pairOf(facts);
  const focus = { leaving: pair?.leaving, staying: pair?.staying, logins: 'all' as const };
  const [world, history, holderEnded, proposals, services] = await Promise.all([
    observe(ctx, ALL, focus, signal) as Promise<World>,
    readHistory(ctx, signal),
    lock?.holder === undefined || lock.holder === input.me ? false : ctx.hasEnded(lock.holder, signal),
    readProposals(ctx, input, facts, signal),
    ctx.cluster.kube().then((api) => localServices(api, waitMs(READ_MS, signal))),
  ]);
  return { ...world, history, holderEnded, proposals, localServices: services };
}

/** Only the run that turns a cycle round has to know what the way until now still waits for. */
export async function readProposals(
  ctx: Pick<Context, 'config' | 'reviews'>,
  input: PlanInput,
  facts: Facts,
  signal: AbortSignal,
): Promise<PlanWorld['proposals']> {
  if (pairOf(facts) === undefined || directionOf(input, facts) === facts.direction) return [];
  const found = await Promise.all(
    reviewedFiles(ctx).map(({ review, paths }) => proposed(review, paths, waitMs(GIT_MS, signal))),
  );
  return found.flat();
}

/** Versions that cannot be read (an old mistake) hold no names. */
async function readHistory(ctx: Context, signal: AbortSignal): Promise<PlanWorld['history']> {
  const wait = waitMs(GIT_MS, signal);
  const names = new Set<string>();
  const addresses = new Set<string>();
  const versions = await ctx.repo.history(
    await ctx.repo.tip(wait),
    ctx.config.rke.config,
    HISTORY_COMMITS,
    wait,
  );
  for (const text of new Set(versions)) {
    let nodes;
    try {
      nodes = parseClusterYml(text).nodes;
    } catch {
      continue;
    }
    for (const node of nodes) {
      addresses.add(node.address);
      names.add(node.hostnameOverride ?? node.address);
    }
  }
  return { names, addresses };
}

/** The part of the world that a person compares before and after. */
export function snapshotOf(config: Config, world: World): WorldSnapshot {
  return {
    nodes: judgeAges(config, world, 'any').map(({ node, vm, ageDays }) => ({
      name: node.name,
      roles: Object.keys(node.labels)
        .filter((key) => key.startsWith('node-role.kubernetes.io/'))
        .map((key) => key.slice('node-role.kubernetes.io/'.length)),
      ageDays: Math.round(ageDays * 10) / 10,
      image: vm?.imageBuiltAt?.slice(0, 'YYYY-MM-DD'.length) ?? vm?.image ?? '',
      ready: node.ready,
      ...(vm === undefined ? {} : { host: vm.host }),
    })),
    etcd: world.etcd.members.map(({ name, healthy, leader }) => ({ name, healthy, leader })),
    dns: (config.dns?.aliases ?? []).map((alias) => ({
      alias: alias.name,
      members: world.dns[0] === undefined ? [] : membersOn(world.dns[0], aliasSet(config, alias)),
    })),
    upstreams: world.proxies.flatMap((proxy) => {
      const byUpstream = new Map<string, ReturnType<typeof upstreamServers>>();
      for (const server of upstreamServers(proxy.files)) {
        const key = server.context === 'unknown' ? server.upstream : `${server.context} ${server.upstream}`;
        byUpstream.set(key, [...(byUpstream.get(key) ?? []), server]);
      }
      return [...byUpstream].map(([upstream, servers]) => ({
        proxy: proxy.name,
        upstream,
        servers: servers.map(
          (server) => `${server.address}:${server.port ?? 80}${server.down ? ' down' : ''}`,
        ),
      }));
    }),
    ingress: [...(world.ingress?.addresses ?? [])],
  };
}
