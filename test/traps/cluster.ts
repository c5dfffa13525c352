/** A cluster of the lab with what a trap needs: the world on its sockets, and our own eyes on them. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { BridgeClient } from '../../agent-bridge/client/client.ts';
import { runRkeUp, type RkeChange } from '../../cycle/acts/rke.ts';
import { takeLock } from '../../cycle/cluster/kubernetes/lease.ts';
import { judgeRun, type RunExpectation } from '../../cycle/cluster/rke/log.ts';
import type { Config } from '../../cycle/config/schema.ts';
import { startSshAgent, type SshAgent } from '../../cycle/cluster/rke/ssh-agent.ts';
import { parseClusterYml } from '../../cycle/cluster/rke/cluster-yml.ts';
import { refuseBy } from '../../cycle/plan/etcd-path.ts';
import { clusterLink, type Context } from '../../cycle/context.ts';
import { factsToAnnotations, NO_FACTS, type Facts } from '../../cycle/facts.ts';
import type { HostBridge } from '../../cycle/hosts.ts';
import { observe } from '../../cycle/observe.ts';
import { CHECKS, preflight } from '../../cycle/plan/preflight.ts';
import { describe, isRefusal, Refused, type Plan, type Refusal } from '../../cycle/step.ts';
import { planRemoveRole, type RemoveRoleWorld } from '../../cycle/steps/rke-remove-role.ts';
import type { AddNodeWorld } from '../../cycle/steps/rke-add-node.ts';
import { CodedError } from '../../ports/errors.ts';
import { realPorts } from '../../ports/real.ts';
import { Secret } from '../../ports/secret.ts';
import type { ExampleShape } from '../../lab/example.ts';
import { serveControl } from '../../lab/servers/control.ts';
import { serveKube } from '../../lab/servers/kube.ts';
import { rkeHandler, rkeWrapper } from '../../lab/servers/rke.ts';
import { serveNodeSsh } from '../../lab/servers/ssh-nodes.ts';
import { installWorkloads } from '../../lab/world/workloads/manifests.ts';
import { noActs } from '../cycle/journey.ts';
import { configOf, ME, vmFor } from '../cycle/world.ts';
import { eventually } from '../lab/world/cluster.ts';
import { SUCCESS, testCluster, type Outcome, type TestCluster } from '../lab/world/rke/cluster.ts';

/** What of a run somebody sees who has only its end. */
export type Ended = Pick<Outcome, 'stdout' | 'stderr'> & { code: number | null | undefined };

/** The naive check: exit code 0 and the success line. */
export function naive({ code, stdout }: Ended): boolean {
  return code === 0 && stdout.some((line) => line.includes(SUCCESS));
}

/** Our judgement of the same text, as `kind` or `cause` with what it rests on. */
export function judged(run: Ended & { signal?: string }, expectation: RunExpectation): string[] {
  const outcome = judgeRun(
    { lines: [...run.stdout, ...run.stderr], exitCode: run.code ?? null, signal: run.signal ?? null },
    expectation,
  );
  if (outcome.outcome === 'succeeded') return ['judgeRun: succeeded', ...outcome.notes];
  if (outcome.outcome === 'failed') return [`judgeRun: failed, ${outcome.cause}: ${outcome.reason}`];
  return [...outcome.kinds.map((kind) => `judgeRun: ${kind}`), ...outcome.evidence];
}

export const EXISTING: RunExpectation = { existingCluster: true };

export type Seen = RemoveRoleWorld & AddNodeWorld;

export interface TrapCluster extends TestCluster {
  config: Config;
  ctx: Context;
  /** The folder of the rke that runs as a process. */
  workDir: string;
  /** The cluster asked by our own clients: API, etcd, SSH; with rke's state as the last run left it. */
  look(pair?: Pair): Promise<Seen>;
  /** Every login that rke would need, tried by us: those that fail. For a cluster that is not there yet. */
  logins(): Promise<string[]>;
  /** An ssh-agent of our own with the nodes' key, ended with the cluster. */
  agent(): Promise<string>;
  /** Everything that the preflight list finds before a cycle of this node. */
  preflight(leaving?: string): Promise<string[]>;
  /** The ids of what we would do to take this node, or the refusal. */
  planLeave(role: 'controlplane' | 'etcd' | 'node', world: Seen, leaving?: string): string[];
  /** What our `rke up` ends with, on the executable. */
  ours(change: RkeChange, pair?: Pair): Promise<string[]>;
  /** How many processes of this cluster's rke there are. */
  processes(): number;
  /** The executable, as a script calls it. */
  spawn(argv: readonly string[], more?: { killAt?: string; sshAuthSock?: string }): Promise<Process>;
  cordon(node: string): void;
  off(n: number): Promise<void>;
  address(n: number): string;
}

export type Process = Ended & { signal?: string };

export interface Pair {
  leaving: string;
  staying: string;
}

const PAIR: Pair = { leaving: 'home-n1', staying: 'home-n9' };
/** A silent host keeps a login for as long as it may last; ten seconds prove no more than these. */
const LOGIN_MS = 600;

/** Parts of the world that no trap of rke is about. */
const UNASKED = { readyInARow: {} };

let program: { dir: string; script: string } | undefined;

/** The bundle that dist/lab holds, made from the sources as they are. */
export function rkeProgram(): string {
  if (program !== undefined) return program.script;
  const dir = mkdtempSync(join(tmpdir(), 'node-cycle-trap-rke-'));
  const script = join(dir, 'rke.cjs');
  buildSync({
    entryPoints: ['lab/servers/rke-main.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    outfile: script,
    external: ['cpu-features', '*.node'],
    logLevel: 'silent',
  });
  program = { dir, script };
  process.once('exit', () => {
    rmSync(dir, { recursive: true, force: true });
  });
  return script;
}

export interface TrapOptions {
  established?: boolean;
  pace?: number;
  /** Pods on the nodes, and all of them Ready: the preflight list finds nothing then. */
  workloads?: boolean;
  /** The executable is there too. */
  program?: boolean;
  /** Before the nodes' SSH servers start. */
  before?: (cluster: TestCluster) => void;
}

export async function trapCluster(shape: ExampleShape, options: TrapOptions = {}): Promise<TrapCluster> {
  const { established, pace } = options;
  const cluster = await testCluster(shape, {
    ...(established === undefined ? {} : { established }),
    ...(pace === undefined ? {} : { pace }),
  });
  const { world, example } = cluster;
  options.before?.(cluster);
  const kube = serveKube(world, { port: example.ports.api, tls: ({ files }) => apiserverTls(files) });
  const ssh = serveNodeSsh(world, { port: example.ports.ssh });
  const control = await serveControl(world, { rke: rkeHandler(cluster.around) });
  await Promise.all([kube.settle(), ssh.ready()]);
  if (options.workloads === true) {
    installWorkloads(world.kube.store, {
      http: example.ports.ingressHttp,
      stream: example.ports.ingressStream,
    });
    await eventually(() => unready(cluster).length === 0, 'every Node Ready, every pod running');
  }
  // A socket's path is short: not under the example's folder.
  const dir = mkdtempSync(join(tmpdir(), 'nct-'));
  const workDir = join(dir, 's');
  mkdirSync(workDir, { mode: 0o700 });
  const binary = join(dir, 'bin', 'rke');
  rkeWrapper(binary, process.execPath, options.program === true ? rkeProgram() : '', control.url);
  const opened = realPorts();
  const ports: Context['ports'] = {
    ...opened,
    ssh: (request) => opened.ssh({ ...request, deadlineMs: Math.min(LOGIN_MS, request.deadlineMs) }),
  };
  const rke = { binary, workDir, configName: 'cluster.yml' };
  const config = configOf({ rke: { binary, stateDir: workDir }, pace: { pollMs: 20 } });
  const ctx: Context = {
    config,
    ports,
    rke,
    stateDir: workDir,
    nodesKey: new Secret(example.nodeKey.private),
    me: ME,
    env: { PATH: process.env['PATH'] ?? '' },
    signal: openSignal(),
    record: () => undefined,
    say: () => undefined,
    logins: new Map(),
    evidence: new Map(),
    reservations: undefined,
    hasEnded: () => Promise.resolve(false),
    cluster: clusterLink(ports, rke, () => Promise.reject(new Error('the state file is missing'))),
    repo: repoOf(cluster),
    bridges: [bridgeOf(cluster)],
    gitops: undefined,
    reviews: {},
    proxies: [],
    dns: undefined,
    run: { organisation: 'org', project: 'project', pipeline: '7', run: '100', url: '', scheduled: false },
  };
  const agents: SshAgent[] = [];
  const save = () => {
    for (const name of ['cluster.yml', 'cluster.rkestate', 'kube_config_cluster.yml'])
      if (cluster.text(name) !== '') writeFileSync(join(workDir, name), cluster.text(name), { mode: 0o600 });
  };
  const trap: TrapCluster = {
    ...cluster,
    config,
    ctx,
    workDir,
    address: (n) => example.nodes[n]?.address ?? '',
    off: async (n) => {
      await world.hosts.powerOff(cluster.machine(n).vmId, 'cut');
    },
    async look(pair = PAIR) {
      save();
      await kube.settle();
      const keys = ['nowMs', 'lock', 'vms', 'intent', 'state', 'kube', 'etcd', 'apiservers', 'ssh'] as const;
      const seen = await observe(ctx, keys, { leaving: pair.leaving, logins: 'all' }, openSignal(), true);
      return { ...seen, facts: factsOf(cluster, pair), ...UNASKED };
    },
    async logins() {
      const answers = await Promise.all(
        example.nodes.map(async ({ address, sshHostKey }) => {
          const target = {
            host: address,
            port: example.ports.ssh,
            user: 'ubuntu',
            privateKey: example.nodeKey.private,
            hostKeys: [sshHostKey.public],
          };
          const answer = await ports.ssh({ target, command: 'true', deadlineMs: LOGIN_MS }).then(
            () => 'ok',
            (error: unknown) => describe(error),
          );
          return [address, answer] as const;
        }),
      );
      const intent = { commit: 'c1', text: example.clusterYml, yml: parseClusterYml(example.clusterYml) };
      const ssh = Object.fromEntries(answers);
      const check = CHECKS.find(({ name }) => name === 'SSH to every node');
      const world = { intent, ssh } as unknown as Seen;
      return words(refuseBy(check?.check(config, world, { dead: false }) ?? []));
    },
    async agent() {
      const started = await startSshAgent(
        ports,
        { dir, key: ctx.nodesKey, path: process.env['PATH'] ?? '' },
        { deadlineMs: 5_000 },
      );
      agents.push(started);
      return started.socket;
    },
    async preflight(leaving = 'home-n1') {
      const seen = await trap.look({ ...PAIR, leaving });
      const subject = { leaving, dead: false };
      const found = CHECKS.flatMap(({ check }) => check(config, seen, subject));
      assert.equal(preflight(config, seen, subject)?.code, found[0]?.code);
      return found.flatMap(({ code, message, evidence }) => [`${code} ${message}`, ...evidence]);
    },
    planLeave: (role, seen, leaving = 'home-n1') =>
      words(planRemoveRole(config, { ...PAIR, leaving, role }, noActs(), seen)),
    async ours(change, pair = PAIR) {
      save();
      const api = await ctx.cluster.kube();
      const wait = { deadlineMs: 5_000 };
      await takeLock(
        api,
        config.cluster,
        undefined,
        ME,
        Date.now(),
        wait,
        factsToAnnotations(factsOf(cluster, pair)),
      );
      try {
        await runRkeUp(ctx, change, openSignal());
        return ['succeeded'];
      } catch (error) {
        if (error instanceof Refused) return words(error.refusal);
        if (error instanceof CodedError) return [`${error.code} ${error.message}`, ...error.evidence];
        throw error;
      }
    },
    spawn: (argv, more = {}) => {
      save();
      return spawned(binary, argv, workDir, more);
    },
    processes: () =>
      execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
        .split('\n')
        .filter((args) => args.includes(control.url)).length,
    cordon: (node) =>
      void world.kube.store.change('nodes', node, undefined, (draft) => {
        draft.spec.unschedulable = true;
      }),
    async close() {
      for (const agent of agents) await agent.end();
      opened.close();
      await ssh.close();
      await kube.close();
      await control.close();
      await cluster.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return trap;
}

/** A refusal in all its words, or the ids of a plan. */
function words<O>(found: Refusal | Plan<O> | undefined): string[] {
  if (found === undefined) return [];
  if (!isRefusal(found)) return found.map(({ id }) => id);
  return [`${found.code} ${found.what}`, ...found.evidence];
}

function unready({ world: { kube } }: TestCluster): string[] {
  return [...kube.store.list('nodes'), ...kube.store.list('pods')]
    .filter(
      ({ status }) => !status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    )
    .map(({ metadata }) => metadata.name);
}

/** A cycle of this pair has begun. */
function factsOf({ example }: TestCluster, { leaving, staying }: Pair): Facts {
  const old = example.nodes.find(({ name }) => name === leaving);
  return {
    ...NO_FACTS,
    ...(old === undefined ? {} : { old: { name: old.name, address: old.address, roles: old.roles } }),
    successor: { name: staying },
  };
}

/** The branch, whose tip is the cluster.yml that the test has put there. */
function repoOf(cluster: TestCluster): Context['repo'] {
  const refused = () => Promise.reject(new Error('a trap pushes nothing'));
  return {
    tip: () => Promise.resolve('c1'),
    read: (_commit, path) =>
      Promise.resolve(path === 'known_hosts' ? cluster.example.knownHosts : cluster.text(path)),
    list: refused,
    history: refused,
    commit: refused,
    push: refused,
    isAncestor: refused,
  };
}

/** What the bridge tells of VMs; the rest of it has no part in what rke does. */
function bridgeOf({ example, world }: TestCluster): HostBridge {
  const vms = () =>
    example.nodes.map((node) => ({
      ...vmFor(node),
      state: world.machineNamed(node.name)?.powered === true ? 'running' : 'off',
    }));
  const client = { read: () => Promise.resolve({ vms: vms(), jobs: [] }) } as unknown as BridgeClient;
  return { url: 'https://hv1:8443', client };
}

function apiserverTls(files: ReadonlyMap<string, Uint8Array>): { cert: string; key: string; ca: string } {
  const read = (name: string) => Buffer.from(files.get(`/etc/kubernetes/ssl/${name}`) ?? []).toString('utf8');
  return { cert: read('kube-apiserver.pem'), key: read('kube-apiserver-key.pem'), ca: read('kube-ca.pem') };
}

function spawned(
  binary: string,
  argv: readonly string[],
  cwd: string,
  { killAt, sshAuthSock }: { killAt?: string; sshAuthSock?: string },
): Promise<Process> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: cwd,
    ...(sshAuthSock === undefined ? {} : { SSH_AUTH_SOCK: sshAuthSock }),
  };
  const child = spawn(binary, argv, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (part: Buffer) => {
    text.stdout += part.toString();
    if (killAt !== undefined && text.stdout.includes(killAt)) child.kill('SIGTERM');
  });
  child.stderr.on('data', (part: Buffer) => (text.stderr += part.toString()));
  const lines = (from: string) => from.split('\n').filter((line) => line !== '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const ended: Process = { code, stdout: lines(text.stdout), stderr: lines(text.stderr) };
      resolve(signal === null ? ended : { ...ended, signal });
    });
  });
}

/** An observation listens to it once for each request that it makes at the same time. */
export function openSignal(): AbortSignal {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  return signal;
}
