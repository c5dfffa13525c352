/** Makes a task's context: the configuration and the service connections become clients over the real ports. */
import { bridgeClient } from '../agent-bridge/client/client.ts';
import { recoverState } from '../cycle/acts/rke.ts';
import type { Config } from '../cycle/config.ts';
import { clusterLink, holderOf, type Context, type RunIdentity } from '../cycle/context.ts';
import { rfc2136Zone, tsigKeyFile } from '../cycle/edge/dns/rfc2136.ts';
import { windowsZone } from '../cycle/edge/dns/windows.ts';
import type { DnsZone } from '../cycle/edge/dns/zone.ts';
import { nginxProxy } from '../cycle/edge/nginx/proxy.ts';
import type { Recorder } from '../cycle/record.ts';
import { CodedError } from '../ports/errors.ts';
import { gitRepo, type GitCredential } from '../ports/git.ts';
import { realPorts } from '../ports/real.ts';
import { Secret } from '../ports/secret.ts';
import type { Connection, PipelineAgent } from './agent.ts';
import { runHasEnded } from './build-api.ts';
import { bridgeDns } from './bridge-dns.ts';

/** What children may see of the agent's environment. */
const PASSED_ON = ['PATH', 'HOME', 'LANG', 'TMPDIR'];
const AUTHOR = { name: 'Node Cycle', email: 'node-cycle@localhost' };

export async function openContext(
  agent: PipelineAgent,
  config: Config,
  signal: AbortSignal,
  record: Recorder,
): Promise<{ ctx: Context; close(): Promise<void> }> {
  const ports = realPorts();
  const env = Object.fromEntries(
    PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  const stateDir = config.rke.stateDir ?? `/var/lib/node-cycle/${config.cluster}`;
  await ports.files.makeDir(stateDir, 0o700);
  const run = identityOf(agent);
  const say = (line: string) => agent.line(line);

  const nodesKey = part(agent, must(agent, 'nodes'), 'privateKey');
  const bridge = bridgeOf(agent, must(agent, 'bridge'), ports);
  const rke = { binary: config.rke.binary, workDir: stateDir, configName: 'cluster.yml' };
  const git = (url: string, branch: string, name: string, credential: GitCredential) =>
    gitRepo({
      run: ports.run,
      env,
      url,
      branch,
      cacheDir: `${stateDir}/git-${name}`,
      credential,
      author: AUTHOR,
    });

  const ctx: Context = {
    config,
    ports,
    run,
    me: holderOf(run),
    repo: git(repositoryUrl(agent), config.rke.branch, 'cluster', credentialOf(agent, 'git', true)),
    gitops:
      config.ingress &&
      git(config.ingress.repository, config.ingress.branch, 'gitops', credentialOf(agent, 'gitops', false)),
    bridge,
    proxies: [],
    dns: undefined,
    nodesKey,
    stateDir,
    rke,
    env,
    signal,
    record,
    say,
    logins: new Map(),
    hasEnded: (holder, stop) => runHasEnded(agent, ports.http, holder, stop),
    cluster: clusterLink(ports, rke, () => recoverState(ctx, signal)),
  };
  const proxyConnection = agent.connection('proxy');
  if (proxyConnection !== undefined) {
    const privateKey = part(agent, proxyConnection, 'privateKey').reveal();
    ctx.proxies = config.proxies.map((proxy) =>
      nginxProxy({
        name: proxy.name,
        target: {
          host: proxy.host,
          port: proxy.port,
          user: proxy.user,
          privateKey,
          hostKeys: [proxy.hostKey],
        },
        ssh: ports.ssh,
        random: ports.random,
      }),
    );
  }
  const zone = await zoneOf(agent, ctx);
  ctx.dns = zone?.zone;
  return {
    ctx,
    close: async () => {
      await zone?.close();
      ports.close();
    },
  };
}

function must(agent: PipelineAgent, input: string): Connection {
  const found = agent.connection(input);
  if (found === undefined)
    throw new CodedError('NC5003', `The input "${input}" names no service connection.`);
  return found;
}

function part(agent: PipelineAgent, connection: Connection, key: string): Secret {
  const found = connection.secret(key);
  if (found === undefined)
    throw new CodedError('NC5004', `The service connection "${connection.name}" has no ${key}.`);
  agent.mask(found);
  return found;
}

function bridgeOf(
  agent: PipelineAgent,
  connection: Connection,
  ports: Pick<Context['ports'], 'http' | 'clock' | 'random'>,
) {
  const serverPin = connection.data('serverFingerprint');
  if (serverPin === undefined)
    throw new CodedError('NC5004', `The service connection "${connection.name}" has no serverFingerprint.`);
  return bridgeClient({
    http: ports.http,
    clock: ports.clock,
    random: ports.random,
    url: connection.url.replace(/\/$/, ''),
    serverPin: serverPin.replaceAll(':', '').toLowerCase(),
    cert: part(agent, connection, 'certificate').reveal(),
    key: part(agent, connection, 'key'),
  });
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

/** A connection's password, else (for the pipeline's own repository) the token of the job. */
function credentialOf(agent: PipelineAgent, input: string, own: boolean): GitCredential {
  const connection = agent.connection(input);
  const password = connection?.secret('password') ?? connection?.secret('apitoken');
  if (connection !== undefined && password !== undefined) {
    agent.mask(password);
    const user = connection.secret('username')?.reveal() ?? 'node-cycle';
    const token = new Secret(Buffer.from(`${user}:${password.reveal()}`).toString('base64'));
    agent.mask(token);
    return { kind: 'token', token, scheme: 'basic' };
  }
  const token = own ? agent.accessToken() : undefined;
  return token === undefined || !/^https?:/.test(repositoryUrl(agent))
    ? { kind: 'none' }
    : { kind: 'token', token, scheme: 'bearer' };
}

async function zoneOf(
  agent: PipelineAgent,
  ctx: Context,
): Promise<{ zone: DnsZone; close(): Promise<void> } | undefined> {
  const { dns } = ctx.config;
  const [primary, ...others] = dns?.servers ?? [];
  if (dns === undefined || primary === undefined) return undefined;
  if (dns.adapter === 'windows') {
    const zone = windowsZone({ zone: dns.zone, servers: [primary, ...others], bridge: bridgeDns(ctx) });
    return { zone, close: () => Promise.resolve() };
  }
  const connection = agent.connection('tsig');
  if (connection === undefined) return undefined;
  const { files, random } = ctx.ports;
  const keyFile = `${ctx.stateDir}/tsig-${Buffer.from(random.bytes(8)).toString('hex')}.key`;
  const name = dns.keyName ?? connection.secret('username')?.reveal() ?? 'node-cycle';
  await files.create(
    keyFile,
    tsigKeyFile(name, dns.keyAlgorithm, part(agent, connection, 'password')),
    0o600,
  );
  const zone = rfc2136Zone({
    zone: dns.zone,
    servers: dns.servers,
    dns: ctx.ports.dns,
    run: ctx.ports.run,
    keyFile,
    env: ctx.env,
  });
  return { zone, close: () => files.remove(keyFile) };
}
