/** Everything a step works with: the configuration, the ports, and the clients that are made of them. */
import { CodedError } from '../ports/errors.ts';
import type { Files, Ports, Repo, Wait } from '../ports/ports.ts';
import type { Secret } from '../ports/secret.ts';
import type { EtcdTarget } from './cluster/etcd/members.ts';
import { createKubeApi, type KubeApi } from './cluster/kubernetes/api.ts';
import { loadKubeconfig } from './cluster/kubernetes/kubeconfig.ts';
import { rkeFiles, type RkeProgram } from './cluster/rke/driver.ts';
import { etcdTarget, kubeTarget, mustReadState, type RkeState } from './cluster/rke/state.ts';
import type { Config } from './config/schema.ts';
import type { DnsZone } from './edge/dns/zone.ts';
import type { Review } from './edge/gitops/pull-request.ts';
import type { Proxy } from './edge/nginx/proxy.ts';
import type { ReservationService } from './edge/reservation/service.ts';
import type { NodeEvidence } from './evidence/read.ts';
import type { HostBridge } from './hosts.ts';
import type { Recorder } from './record.ts';

/** Who runs: as the lock, the commits and the records name it. */
export interface RunIdentity {
  organisation: string;
  project: string;
  pipeline: string;
  run: string;
  /** Where a person can look at it. */
  url: string;
  /** Queued by a schedule and not by a person. */
  scheduled: boolean;
}

export interface Context {
  config: Config;
  ports: Ports;
  run: RunIdentity;
  /** This run as the Lease names its holder. */
  me: string;
  /** The branch that holds cluster.yml and known_hosts. */
  repo: Repo;
  gitops: Repo | undefined;
  /** How a protected branch of theirs is changed; absent where the service is not one that makes pull requests for us. */
  reviews: { cluster?: Review | undefined; gitops?: Review | undefined };
  /** One on each Hyper-V host, in the order of the task's input. */
  bridges: readonly HostBridge[];
  proxies: readonly Proxy[];
  dns: DnsZone | undefined;
  /** Who reserves addresses; only with `addresses.source: reservation`, in the tasks that need it. */
  reservations: ReservationService | undefined;
  nodesKey: Secret;
  stateDir: string;
  rke: RkeProgram;
  /** What children are started with. */
  env: Record<string, string>;
  signal: AbortSignal;
  record: Recorder;
  /** One line of progress, of ours or of a child. */
  say(line: string): void;
  cluster: ClusterLink;
  /** Where Argo CD or Flux runs, when that is another cluster. */
  gitopsCluster?: { kube(): Promise<KubeApi> } | undefined;
  /** Whether the service says that the run of that holder has ended; false when it cannot say. */
  hasEnded(holder: string, signal: AbortSignal): Promise<boolean>;
  /** SSH logins that succeeded a moment ago: a handshake with every node is too dear for each poll. */
  logins: Map<string, { answer: string; atMs: number }>;
  /** By address: what new nodes said of themselves to this process. */
  evidence: Map<string, NodeEvidence>;
}

export function holderOf(run: RunIdentity): string {
  return [run.organisation, run.project, run.pipeline, run.run].join('/');
}

/** The clients that rke's state file opens: the cluster's own certificates are in it. */
export interface ClusterLink {
  /** The state file as it is now. */
  state(): Promise<RkeState>;
  kube(): Promise<KubeApi>;
  etcd(): Promise<EtcdTarget>;
}

/** Reads the state file each time (rke rewrites it), and makes a new client only when the certificates changed. */
export function clusterLink(
  ports: Ports,
  rke: RkeProgram,
  /** Brings the state file back when it is missing. */
  recover: () => Promise<void>,
): ClusterLink {
  const path = rkeFiles(rke).state;
  // Every observation asks for it, and reading it means to parse some thirty certificates.
  let last: { text: string; state: RkeState } | undefined;
  let api: { made: KubeApi; of: string; from: RkeState } | undefined;
  let recovering: Promise<void> | undefined;
  const state = async () => {
    if ((await ports.files.stat(path)) === undefined) {
      recovering ??= recover().finally(() => (recovering = undefined));
      await recovering;
    }
    const text = await readText(ports.files, path);
    if (last?.text !== text) last = { text, state: mustReadState(text, path) };
    return last.state;
  };
  return {
    state,
    async kube() {
      const current = await state();
      if (api?.from === current) return api.made;
      const target = kubeTarget(current);
      const of = `${current.caSha256} ${target.servers.join(' ')}`;
      api = { made: api?.of === of ? api.made : createKubeApi(ports, target), of, from: current };
      return api.made;
    },
    etcd: async () => etcdTarget(await state()),
  };
}

/** The cluster of a kubeconfig on the agent, read when it is first needed. */
export function kubeconfigLink(ports: Ports, path: string): { kube(): Promise<KubeApi> } {
  let api: Promise<KubeApi> | undefined;
  const open = async () => createKubeApi(ports, await loadKubeconfig(ports.files, path));
  return {
    kube() {
      api ??= open().catch((error: unknown) => {
        api = undefined;
        throw error;
      });
      return api;
    },
  };
}

export async function readText(files: Files, path: string): Promise<string> {
  return Buffer.from(await files.read(path)).toString('utf8');
}

export function waitMs(deadlineMs: number, signal: AbortSignal): Wait {
  return { deadlineMs, signal };
}

/** The files that a cycle edits on branches which take pull requests, when they are protected. */
export function reviewedFiles({
  config,
  reviews,
}: Pick<Context, 'config' | 'reviews'>): { review: Review; paths: string[] }[] {
  const { cluster, gitops } = reviews;
  return [
    ...(cluster === undefined
      ? []
      : [{ review: cluster, paths: [config.rke.config, config.ssh.knownHosts] }]),
    ...(gitops === undefined || config.ingress === undefined
      ? []
      : [{ review: gitops, paths: [config.ingress.file] }]),
  ];
}

/** A file that must be at the branch's tip. */
export async function mustReadAtTip(
  repo: Repo,
  path: string,
  wait: Wait,
): Promise<{ commit: string; text: string }> {
  const commit = await repo.tip(wait);
  const text = await repo.read(commit, path, wait);
  if (text === undefined)
    throw new CodedError('NC1002', `${path} is not at the branch's tip (${commit.slice(0, 10)}).`);
  return { commit, text };
}
