/** cluster.yml and `rke up`: the intent is pushed first, then applied from the state directory. */
import { CodedError } from '../../ports/errors.ts';
import { diffLines, parseClusterYml } from '../cluster/rke/cluster-yml.ts';
import { judgeVersion, rkeFiles, rkeUp, rkeVersion } from '../cluster/rke/driver.ts';
import { startSshAgent } from '../cluster/rke/ssh-agent.ts';
import { compareStates, readClusterCopy, readState } from '../cluster/rke/state.ts';
import { readText, waitMs, type Context } from '../context.ts';
import { factsFromAnnotations } from '../facts.ts';
import { observe, readIntent, readLockOf } from '../observe.ts';
import { preflight } from '../plan/preflight.ts';
import { describe, Refused, refuse } from '../step.ts';
import { editFile } from './git.ts';
import { requireLock } from './facts.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export async function editClusterYml(
  ctx: Context,
  edit: (text: string) => string,
  message: string,
  signal: AbortSignal,
): Promise<void> {
  await editFile(
    ctx,
    {
      repo: ctx.repo,
      review: ctx.reviews.cluster,
      path: ctx.config.rke.config,
      edit: (text) => {
        const next = edit(text);
        for (const line of diffLines(text, next, ctx.config.rke.config).split('\n')) ctx.say(line);
        return next;
      },
      message,
      before: async () => {
        await requireLock(ctx, signal);
      },
    },
    signal,
  );
}

export interface RkeChange {
  added?: string[];
  removed?: string[];
  membersRemoved?: string[];
  dead?: string[];
}

/**
 * Runs `rke up` on the tip's cluster.yml, after the checks that rke itself does not make.
 *
 * @throws Refused when the run must not start; CodedError NC1242 when rke failed, or only said that it had not.
 */
export async function runRkeUp(ctx: Context, change: RkeChange, signal: AbortSignal): Promise<void> {
  const intent = await readIntent(ctx, signal);
  await requireKnownVersion(ctx, signal);
  await requireSameState(ctx, signal);
  await requireOnlyOurs(ctx, change, signal);

  const files = rkeFiles(ctx.rke);
  await ctx.ports.files.write(files.config, intent.text, 0o600);
  const agentDir = `${ctx.stateDir}/agent`;
  await ctx.ports.files.makeDir(agentDir, 0o700);
  const agent = await startSshAgent(
    ctx.ports,
    { dir: agentDir, key: ctx.nodesKey, ...path(ctx) },
    waitMs(20_000, signal),
  );
  try {
    await requireLock(ctx, signal);
    const result = await rkeUp({
      ...ctx.rke,
      ports: ctx.ports,
      sshAuthSock: agent.socket,
      expectation: { ...change, existingCluster: true },
      home: ctx.stateDir,
      ...path(ctx),
      keepBackups: ctx.config.rke.keepBackups,
      maxBackupAgeMs: ctx.config.rke.keepBackupDays * DAY_MS,
      deadlineMs: ctx.config.rke.upMinutes * MINUTE_MS,
      signal,
      onLine: (line) => ctx.say(`rke ${line.level}: ${line.message}`),
    });
    const { outcome } = result;
    if (outcome.outcome === 'failed') {
      throw new CodedError('NC1242', `rke up failed (${outcome.cause}): ${outcome.reason}`, [
        `exit ${result.exitCode ?? result.signal}`,
        ...result.lines.slice(-5),
      ]);
    }
    if (outcome.outcome === 'falseSuccess') {
      throw new CodedError(
        'NC1242',
        `rke up ended with ${result.exitCode} and had not done it (${outcome.kinds.join(', ')}).`,
        outcome.evidence,
      );
    }
    for (const note of outcome.notes) ctx.say(`rke: ${note}`);
  } finally {
    await agent.end();
  }
}

function path(ctx: Context): { path: string } | Record<string, never> {
  const found = ctx.env['PATH'];
  return found === undefined ? {} : { path: found };
}

async function requireKnownVersion(ctx: Context, signal: AbortSignal): Promise<void> {
  const version = await rkeVersion(ctx.ports.run, ctx.rke.binary, waitMs(20_000, signal));
  if (judgeVersion(version).known === 'no' && !ctx.config.rke.allowUnknownVersion) {
    throw new Refused(refuse('NC1243', `rke ${version} was not checked.`, [`binary: ${ctx.rke.binary}`]));
  }
}

/** The local state against the cluster's own copy: a foreign one would put fresh certificates over a live cluster. */
async function requireSameState(ctx: Context, signal: AbortSignal): Promise<void> {
  const local = await ctx.cluster.state();
  const api = await ctx.cluster.kube();
  const text = await readClusterCopy(api, waitMs(20_000, signal));
  if (text === undefined)
    throw new Refused(
      refuse('NC1244', 'The cluster has no copy of the rke state to compare with.', [
        'kube-system/full-cluster-state',
      ]),
    );
  const reading = readState(text);
  if (!reading.ok)
    throw new Refused(
      refuse('NC1244', `The cluster's copy of the rke state cannot be read: ${reading.message}`),
    );
  const facts = factsFromAnnotations((await readLockOf(ctx, signal))?.annotations ?? {});
  const ours = [facts.old?.address, facts.old?.name, facts.successor?.address, facts.successor?.name].filter(
    (name) => name !== undefined,
  );
  // rke writes its file before the cluster's copy: a run that was killed in between differs by the pair alone.
  const differences = compareStates(local, reading.state).filter(
    (found) => !(found.code === 'NC3212' && ours.some((name) => found.message.includes(name))),
  );
  const [first, ...rest] = differences;
  if (first !== undefined)
    throw new Refused({
      ...refuse(first.code, first.message, [...first.evidence, ...rest.map((found) => found.message)]),
    });
}

/** `rke up` applies everything that differs; here it may only add the one that joins and remove the one that leaves. */
async function requireOnlyOurs(ctx: Context, change: RkeChange, signal: AbortSignal): Promise<void> {
  const leavingAddresses = new Set([...(change.removed ?? []), ...(change.dead ?? [])]);
  const facts = factsFromAnnotations((await readLockOf(ctx, signal))?.annotations ?? {});
  const focus = { leaving: facts.old?.name, staying: facts.successor?.name, logins: 'all' as const };
  const world = await observe(
    ctx,
    ['facts', 'intent', 'state', 'kube', 'etcd', 'ssh', 'apiservers'],
    focus,
    signal,
  );
  const dead = (change.dead ?? []).length > 0;
  const leaving = facts.direction === 'back' ? facts.successor?.name : facts.old?.name;
  // In the middle of a change the pair itself may be anything; everyone else must be well.
  const partners = [facts.old?.name, facts.successor?.name];
  const settled = {
    ...world,
    kube: { ...world.kube, nodes: world.kube.nodes.filter((node) => !partners.includes(node.name)) },
  };
  const objection = preflight(ctx.config, settled, { leaving, dead: dead && leavingAddresses.size > 0 });
  if (objection !== undefined) throw new Refused(objection);
}

/** A state directory that is empty (a new agent): the state comes from the cluster's own copy, by rke's own command. */
export async function recoverState(ctx: Context, signal: AbortSignal): Promise<void> {
  const { files, run } = ctx.ports;
  const intent = await readIntent(ctx, signal);
  if (parseClusterYml(intent.text).nodes.length === 0)
    throw new CodedError('NC1244', `${ctx.config.rke.config} has no nodes.`);
  const dir = `${ctx.stateDir}/recover`;
  await files.makeDir(ctx.stateDir, 0o700);
  await files.makeDir(dir, 0o700);
  await files.makeDir(`${ctx.stateDir}/agent`, 0o700);
  const there = rkeFiles({ workDir: dir, configName: ctx.rke.configName });
  await files.remove(there.state);
  await files.write(there.config, intent.text, 0o600);
  ctx.say(`${ctx.stateDir} holds no rke state: it is recovered from the cluster's own copy.`);
  const agent = await startSshAgent(
    ctx.ports,
    { dir: `${ctx.stateDir}/agent`, key: ctx.nodesKey, ...path(ctx) },
    waitMs(20_000, signal),
  );
  try {
    const result = await run({
      file: ctx.rke.binary,
      args: ['util', 'get-state-file', '--config', there.config, '--ssh-agent-auth'],
      env: { ...ctx.env, HOME: dir, SSH_AUTH_SOCK: agent.socket, TZ: 'UTC' },
      cwd: dir,
      dieWithParent: true,
      deadlineMs: 5 * MINUTE_MS,
      signal,
      onLine: (line) => ctx.say(`rke: ${line}`),
    });
    if (result.exitCode !== 0) {
      throw new CodedError(
        'NC1244',
        'rke util get-state-file could not bring the state back.',
        result.stdout.trim().split('\n').slice(-3),
      );
    }
  } finally {
    await agent.end();
  }
  if ((await files.stat(there.state)) === undefined) {
    throw new CodedError('NC1244', 'rke util get-state-file ended well and wrote no state.', [there.state]);
  }
  await adoptState(ctx, await readText(files, there.state), signal);
  await files.remove(there.state);
}

/** Used only when the cluster answers with certificates of that state's CA. */
export async function adoptState(ctx: Context, text: string, signal: AbortSignal): Promise<void> {
  const { kubeTarget, mustReadState } = await import('../cluster/rke/state.ts');
  const { createKubeApi } = await import('../cluster/kubernetes/api.ts');
  const state = mustReadState(text, 'the recovered state');
  const api = createKubeApi(ctx.ports, kubeTarget(state));
  const answer = await api.text('/readyz', waitMs(20_000, signal));
  if (!answer.ok) {
    throw new CodedError(
      'NC1244',
      'The live cluster does not accept the certificates of the recovered state.',
      [describe(answer.message)],
    );
  }
  await ctx.ports.files.write(rkeFiles(ctx.rke).state, text, 0o600);
}
