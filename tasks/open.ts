/**
 * Makes a task's context: the configuration and the service connections become clients over the real ports. What
 * only some tasks talk to comes with their links.
 */
import { bridgeClient } from '../agent-bridge/client/client.ts';
import { recoverState } from '../cycle/acts/rke.ts';
import type { Config } from '../cycle/config.ts';
import { clusterLink, holderOf, kubeconfigLink, type Context, type RunIdentity } from '../cycle/context.ts';
import type { HostBridge } from '../cycle/hosts.ts';
import type { Recorder } from '../cycle/record.ts';
import { basicPorts } from '../ports/basic.ts';
import { CodedError } from '../ports/errors.ts';
import { files } from '../ports/files.ts';
import { gitRepo } from '../ports/git.ts';
import { PortError, type Ports } from '../ports/ports.ts';
import type { Connection, PipelineAgent } from './agent.ts';
import { runHasEnded } from './build-api.ts';
import { mustConnect, mustConnectAll, secretPart } from './connections.ts';
import { openCredential, reviewOf, type GitPlace } from './git-credential.ts';
import type { Link } from './links/link.ts';
import { networkOf } from './network.ts';

/** What children may see of the agent's environment. */
const PASSED_ON = ['PATH', 'HOME', 'LANG', 'TMPDIR'];
const AUTHOR = { name: 'Node Cycle', email: 'node-cycle@localhost' };

export async function openContext(
  agent: PipelineAgent,
  config: Config,
  signal: AbortSignal,
  record: Recorder,
  links: readonly Link[],
): Promise<{ ctx: Context; close(): Promise<void> }> {
  const network = await networkOf(agent, files, process.env);
  const basic = basicPorts(network.http);
  const ports: Ports = { ...basic.ports, ssh: unlinked('ssh'), dns: unlinked('dns') };
  for (const link of links) Object.assign(ports, link.ports);
  const env = Object.fromEntries(
    PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  const stateDir = config.rke.stateDir ?? `/var/lib/node-cycle/${config.cluster}`;
  await ports.files.makeDir(stateDir, 0o700);
  const run = identityOf(agent);
  const say = (line: string) => agent.line(line);

  const nodesKey = secretPart(agent, mustConnect(agent, 'nodes'), 'privateKey');
  const bridges = mustConnectAll(agent, 'bridge').map((each) => bridgeOf(agent, each, ports));
  const rke = { binary: config.rke.binary, workDir: stateDir, configName: 'cluster.yml' };
  const closes: (() => Promise<void>)[] = [];
  const close = async () => {
    await Promise.all(closes.map((each) => each()));
    basic.close();
  };
  const git = async (branch: string, name: string, place: GitPlace) => {
    const { url } = place;
    const { credential, close: undo } = await openCredential(agent, ports, stateDir, place);
    if (undo !== undefined) closes.push(undo);
    const repo = gitRepo({
      run: ports.run,
      env: { ...env, ...network.forGit(url) },
      url,
      branch,
      cacheDir: `${stateDir}/git-${name}`,
      credential,
      author: AUTHOR,
    });
    return { repo, review: reviewOf(ports, url, branch, repo, credential) };
  };
  const { rke: own, ingress } = config;
  const openBoth = async () => ({
    cluster: await git(own.branch, 'cluster', {
      ...{ url: repositoryUrl(agent), password: 'git', key: 'gitKey', own: true },
      ...{ hostKey: own.hostKey, hostKeyAt: 'rke.hostKey' },
    }),
    gitops:
      ingress &&
      (await git(ingress.branch, 'gitops', {
        ...{ url: ingress.repository, password: 'gitops', key: 'gitopsKey', own: false },
        ...{ hostKey: ingress.hostKey, hostKeyAt: 'ingress.hostKey' },
      })),
  });
  const { cluster, gitops } = await openBoth().catch(async (error: unknown) => {
    await close();
    throw error;
  });

  const ctx: Context = {
    config,
    ports,
    run,
    me: holderOf(run),
    repo: cluster.repo,
    gitops: gitops?.repo,
    reviews: { cluster: cluster.review, gitops: gitops?.review },
    bridges,
    proxies: [],
    dns: undefined,
    reservations: undefined,
    nodesKey,
    stateDir,
    rke,
    env,
    signal,
    record,
    say,
    logins: new Map(),
    evidence: new Map(),
    hasEnded: (holder, stop) => runHasEnded(agent, ports.http, holder, stop),
    gitopsCluster:
      ingress === undefined || ingress.sync.tool === 'none' || ingress.sync.kubeconfig === undefined
        ? undefined
        : kubeconfigLink(ports, ingress.sync.kubeconfig),
    cluster: clusterLink(ports, rke, () => recoverState(ctx, signal)),
  };
  try {
    for (const link of links) {
      const undo = await link.open?.(agent, ctx);
      if (undo !== undefined) closes.push(undo);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { ctx, close };
}

/** Only a task that observes a part of the world without linking what answers for it gets here. */
function unlinked(port: 'ssh' | 'dns'): () => Promise<never> {
  return () => Promise.reject(new PortError('refused', port, `this task was built without ${port}`));
}

function bridgeOf(
  agent: PipelineAgent,
  connection: Connection,
  ports: Pick<Context['ports'], 'http' | 'clock' | 'random'>,
): HostBridge {
  const serverPin = connection.data('serverFingerprint');
  if (serverPin === undefined)
    throw new CodedError('NC5004', `The service connection "${connection.name}" has no serverFingerprint.`);
  const url = connection.url.replace(/\/$/, '');
  const client = bridgeClient({
    http: ports.http,
    clock: ports.clock,
    random: ports.random,
    url,
    serverPin,
    cert: secretPart(agent, connection, 'certificate').reveal(),
    key: secretPart(agent, connection, 'key'),
  });
  return { url, client };
}

/** Who runs. A run of the service has all of these; a local one names itself. */
function identityOf(agent: PipelineAgent): RunIdentity {
  const collection = agent.variable('System.CollectionUri') ?? 'local';
  const organisation = collection.replace(/\/$/, '').split('/').pop() ?? 'local';
  const project = agent.variable('System.TeamProject') ?? 'local';
  const run = agent.variable('Build.BuildId') ?? '0';
  return {
    organisation,
    project,
    pipeline: agent.variable('System.DefinitionId') ?? '0',
    run,
    url: `${collection.replace(/\/$/, '')}/${encodeURIComponent(project)}/_build/results?buildId=${run}`,
    scheduled: agent.variable('Build.Reason') === 'Schedule',
  };
}

function repositoryUrl(agent: PipelineAgent): string {
  const url = agent.variable('Build.Repository.Uri');
  if (url === undefined) throw new CodedError('NC5006', 'The variable Build.Repository.Uri is not set.');
  return url;
}
