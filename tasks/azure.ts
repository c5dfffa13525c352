/** The agent port over azure-pipelines-task-lib. */
import * as tl from 'azure-pipelines-task-lib/task.js';
import { CodedError } from '../ports/errors.ts';
import { Secret } from '../ports/secret.ts';
import type { AgentNetwork, Connection, Issue, PipelineAgent } from './agent.ts';

/** The agent keeps ten issues of each kind per record and drops the rest; the first ones explain the most. */
const MAX_ISSUES = 10;
/** The agent cuts a console line at 1,024 characters. */
const MAX_LINE = 1_000;

const RESULTS = {
  Succeeded: tl.TaskResult.Succeeded,
  Failed: tl.TaskResult.Failed,
  Cancelled: tl.TaskResult.Cancelled,
} as const;

export function azureAgent(): PipelineAgent {
  const issues = { error: 0, warning: 0 };
  const write = (line: string) => process.stdout.write(`${line}\n`);
  const command = (name: string, properties: Record<string, string>, message: string) =>
    tl.command(name, properties, message);
  const issue = (type: 'error' | 'warning', { code, message }: Issue) => {
    issues[type] += 1;
    if (issues[type] > MAX_ISSUES) return;
    const properties: Record<string, string> = code === undefined ? { type } : { type, code };
    command('task.logissue', properties, message);
  };

  return {
    input: readInput,
    required(name) {
      const value = readInput(name);
      if (value === undefined) throw new CodedError('NC5002', `The input "${name}" is empty.`);
      return value;
    },
    connection(inputName) {
      const id = readInput(inputName);
      return id === undefined ? undefined : readConnection(inputName, id);
    },
    connections(inputName) {
      const ids = (readInput(inputName) ?? '').split(',').map((id) => id.trim());
      return [...new Set(ids)].filter((id) => id !== '').map((id) => readConnection(inputName, id));
    },
    variable: (name) => tl.getVariable(name),
    accessToken() {
      const token = tl.getEndpointAuthorizationParameter('SYSTEMVSSCONNECTION', 'AccessToken', true);
      return token === undefined ? undefined : new Secret(token);
    },
    network: readNetwork,
    setOutput: (name, value) => command('task.setvariable', { variable: name, isOutput: 'true' }, value),
    // setSecret throws on a value of several lines, and the agent masks line by line anyway.
    mask: (secret) => secret.maskable().forEach((text) => text.includes('\n') || tl.setSecret(text)),
    line: (text) => harmless(text).forEach(write),
    group: (title) => write(`##[group]${harmless(title).join(' ')}`),
    endGroup: () => write('##[endgroup]'),
    error: (entry) => issue('error', entry),
    warning: (entry) => issue('warning', entry),
    progress: (percent, text) => command('task.setprogress', { value: String(Math.round(percent)) }, text),
    attach: (type, name, path) => command('task.addattachment', { type, name }, path),
    summary: (path) => command('task.uploadsummary', {}, path),
    complete: (result, message) => tl.setResult(RESULTS[result], message, true),
  };
}

/**
 * Text from elsewhere as lines that the agent reads as text: its parser takes `##vso[` anywhere in a line, and
 * `##[` at the start.
 */
export function harmless(text: string): string[] {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => line.replaceAll('##', '# #').replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, ''))
    .flatMap((line) => (line.length <= MAX_LINE ? [line] : [`${line.slice(0, MAX_LINE)}...`]));
}

function readInput(name: string): string | undefined {
  const value = tl.getInput(name)?.trim();
  if (value === undefined || value === '') return undefined;
  const unset = /^\$\((.*)\)$/.exec(value);
  if (unset !== null)
    throw new CodedError(
      'NC5001',
      `The input "${name}" is "${value}": the variable "${unset[1]}" was never set.`,
    );
  return value;
}

function readConnection(inputName: string, id: string): Connection {
  const url = tl.getEndpointUrl(id, true);
  if (url === undefined)
    throw new CodedError(
      'NC5003',
      `The input "${inputName}" names the connection "${id}", which this job was not given.`,
    );
  return {
    name: id,
    url,
    secret(key) {
      const value = tl.getEndpointAuthorizationParameter(id, key, true) ?? endpointData(id, key);
      return value === undefined || value === '' ? undefined : new Secret(value);
    },
    data: (key) => endpointData(id, key),
  };
}

function readNetwork(): AgentNetwork {
  let proxy: tl.ProxyConfiguration | null;
  try {
    proxy = tl.getHttpProxyConfiguration();
  } catch {
    // Its message may hold the URL, and that a password.
    throw new CodedError('NC5007', 'Agent.ProxyUrl is no URL, or Agent.ProxyBypassList is no list in JSON.');
  }
  const { proxyUrl, proxyUsername, proxyPassword, proxyBypassHosts } = proxy ?? {};
  return {
    proxy:
      proxyUrl === undefined
        ? undefined
        : {
            url: proxyUrl,
            username: proxyUsername,
            password: proxyPassword === undefined ? undefined : new Secret(proxyPassword),
            bypass: proxyBypassHosts ?? [],
          },
    caFile: tl.getHttpCertConfiguration()?.caFile,
  };
}

function endpointData(id: string, key: string): string | undefined {
  return tl.getEndpointDataParameter(id, key, true);
}
