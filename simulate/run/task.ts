/** One task as the agent runs it: inputs and connections in, the real work, outputs and an outcome out. */
import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../cycle/config.ts';
import type { RunEvent } from '../../cycle/record.ts';
import { CodedError } from '../../ports/errors.ts';
import { PortError } from '../../ports/ports.ts';
import { Secret } from '../../ports/secret.ts';
import type { Connection, PipelineAgent } from '../../tasks/agent.ts';
import type { Link } from '../../tasks/links/link.ts';
import { openContext } from '../../tasks/open.ts';
import type { Work } from '../../tasks/run.ts';
import { work as deleteVm } from '../../tasks/DeleteVm/work.ts';
import { work as planCycle } from '../../tasks/PlanCycle/work.ts';
import { work as provisionNode } from '../../tasks/ProvisionNode/work.ts';
import { work as rkeAddNode } from '../../tasks/RkeAddNode/work.ts';
import { work as rkeRemoveRole } from '../../tasks/RkeRemoveRole/work.ts';
import { work as swapDns } from '../../tasks/SwapDns/work.ts';
import { work as updateIngress } from '../../tasks/UpdateIngress/work.ts';
import type { Input } from '../outside/input.ts';
import type { Life, VirtualTime } from '../time.ts';
import type { AgentMachine } from './agent-ports.ts';

export const TASKS = {
  PlanCycle: planCycle,
  ProvisionNode: provisionNode,
  RkeAddNode: rkeAddNode,
  UpdateIngress: updateIngress,
  SwapDns: swapDns,
  RkeRemoveRole: rkeRemoveRole,
  DeleteVm: deleteVm,
} as const satisfies Record<string, Work>;
export type TaskName = keyof typeof TASKS;

export interface TaskEnd {
  result: 'done' | 'refused' | 'failed' | 'cancelled' | 'killed';
  /** Of the refusal or the failure; the kind of a port's failure; empty for neither. */
  code: string;
  message: string;
  evidence: readonly string[];
  outputs: Record<string, string>;
}

export interface TaskStart {
  task: TaskName;
  inputs: Record<string, string>;
  run: string;
  scheduled: boolean;
  who: Life;
  signal: AbortSignal;
}

export interface TaskSurroundings {
  root: string;
  input: Input;
  machine: AgentMachine;
  time: VirtualTime;
  serviceUrl: string;
  bridgeUrl: string;
  onEvent(event: RunEvent): void;
  onLine(line: string): void;
}

/** The text of node-cycle.yml is the checkout's: it does not change during a story. */
export function runTaskOnce(start: TaskStart, around: TaskSurroundings): Promise<TaskEnd> {
  const { who, signal, task } = start;
  const outputs: Record<string, string> = {};
  const ended = (
    result: TaskEnd['result'],
    code: string,
    message: string,
    evidence: readonly string[] = [],
  ): TaskEnd => ({
    ...{ result, code, message, evidence, outputs },
  });
  return new Promise((resolve, reject) => {
    who.onKill(() => resolve(ended('killed', '', 'SIGKILL')));
    perform(start, around, outputs).then(
      (outcome) =>
        resolve(
          outcome.kind === 'done'
            ? ended('done', '', outcome.message)
            : ended('refused', outcome.refusal.code, outcome.refusal.what, outcome.refusal.evidence),
        ),
      (error: unknown) => {
        if (signal.aborted) resolve(ended('cancelled', codeOf(error), String(error)));
        else if (error instanceof CodedError)
          resolve(ended('failed', error.code, error.message, error.evidence));
        else if (error instanceof PortError) resolve(ended('failed', error.kind, error.message));
        else reject(new Error(`${task} threw what it must not`, { cause: error }));
      },
    );
  });
}

async function perform(start: TaskStart, around: TaskSurroundings, outputs: Record<string, string>) {
  const { who, signal, task } = start;
  setMaxListeners(0, signal);
  const agent = agentOf(start, around, outputs);
  const loaded = loadConfig(around.input.texts.user['node-cycle.yml'] ?? '', 'node-cycle.yml');
  if (!('config' in loaded)) throw new Error('the configuration is not valid');
  const { ports, repo, gitops } = around.machine.open(who);
  const inMemory: Link = {
    ports,
    open(_agent, ctx) {
      ctx.repo = repo;
      ctx.gitops = gitops;
      return Promise.resolve(undefined);
    },
  };
  const work: Work = TASKS[task];
  const record = (event: Parameters<Parameters<typeof openContext>[3]>[0]) =>
    around.onEvent({ ...event, atMs: ports.clock.now() });
  // Theirs open clients over the ports, which are ours: the first brings no adapters but these.
  const links = [
    inMemory,
    ...work.links.map(({ open }) => ({ ports: {}, ...(open === undefined ? {} : { open }) })),
  ];
  const { ctx, close } = await openContext(agent, loaded.config, signal, record, links);
  try {
    const begin = (step: string) => record({ kind: 'step.started', step, task });
    const outcome = await work.run({ agent, config: loaded.config, ctx, signal, begin });
    if (outcome.kind === 'refused') {
      const { code, what, evidence, remedy } = outcome.refusal;
      record({ kind: 'refusal', code, what, evidence, remedy });
    }
    return outcome;
  } finally {
    await close().catch(() => undefined);
  }
}

function codeOf(error: unknown): string {
  return error instanceof CodedError ? error.code : error instanceof PortError ? error.kind : '';
}

const defaults = new Map<string, Record<string, string>>();

function defaultsOf(root: string, task: string): Record<string, string> {
  const known = defaults.get(task);
  if (known !== undefined) return known;
  const manifest = JSON.parse(readFileSync(join(root, 'tasks', task, 'task.json'), 'utf8')) as {
    inputs: { name: string; defaultValue?: string }[];
  };
  const found = Object.fromEntries(
    manifest.inputs.map(({ name, defaultValue = '' }) => [name, defaultValue]),
  );
  defaults.set(task, found);
  return found;
}

function agentOf(start: TaskStart, around: TaskSurroundings, outputs: Record<string, string>): PipelineAgent {
  const { input } = around;
  const values: Record<string, string> = { ...defaultsOf(around.root, start.task), ...start.inputs };
  const variables: Record<string, string> = {
    'System.CollectionUri': `${around.serviceUrl}/`,
    'System.TeamProject': 'home',
    'System.DefinitionId': '7',
    'Build.BuildId': start.run,
    'Build.Reason': start.scheduled ? 'Schedule' : 'Manual',
    'Build.Repository.Uri': 'git.simulated/home.git',
  };
  const connections: Record<
    string,
    { url: string; secrets: Record<string, string>; data?: Record<string, string> }
  > = {
    bridge: {
      url: around.bridgeUrl,
      secrets: { certificate: input.client.certPem, key: input.client.keyPem },
      data: { serverFingerprint: input.server.pin },
    },
    nodes: { url: 'ssh://nodes', secrets: { privateKey: input.example.nodeKey.private } },
    proxy: { url: 'ssh://proxy', secrets: { privateKey: input.proxyKey.private } },
    tsig: { url: 'dns://zone', secrets: { password: input.tsig.secret } },
  };
  const read = (name: string) => (values[name] === '' ? undefined : values[name]);
  const line = (text: string) => around.onLine(text);
  const connection = (name: string): Connection | undefined => {
    const found = connections[name];
    if (found === undefined) return undefined;
    return {
      name,
      url: found.url,
      secret: (key) => (found.secrets[key] === undefined ? undefined : new Secret(found.secrets[key])),
      data: (key) => found.data?.[key],
    };
  };
  return {
    input: read,
    required(name) {
      const value = read(name);
      if (value === undefined) throw new CodedError('NC5002', `The input "${name}" is empty.`);
      return value;
    },
    connection,
    connections: (name) => [connection(name)].filter((one) => one !== undefined),
    variable: (name) => variables[name],
    accessToken: () => new Secret(input.serviceToken),
    network: () => ({ proxy: undefined, caFile: undefined }),
    setOutput: (name, value) => void (outputs[name] = value),
    mask: () => undefined,
    line,
    group: line,
    endGroup: () => undefined,
    error: ({ message }) => line(message),
    warning: ({ message }) => line(message),
    progress: () => undefined,
    attach: () => undefined,
    summary: () => undefined,
    complete: () => undefined,
  };
}
