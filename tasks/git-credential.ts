/** How git proves who it is: a token over HTTPS, or a key over SSH with the server's host key pinned. */
import { azureRepos } from '../cycle/edge/gitops/azure-repos.ts';
import type { Review } from '../cycle/edge/gitops/pull-request.ts';
import { CodedError } from '../ports/errors.ts';
import type { GitCredential, GitRepo } from '../ports/git.ts';
import type { Ports } from '../ports/ports.ts';
import { Secret } from '../ports/secret.ts';
import type { PipelineAgent } from './agent.ts';
import { secretPart } from './connections.ts';

export interface GitPlace {
  url: string;
  /** Inputs: a connection with a password or token, and one with a private key. The key is taken where both are. */
  password: string;
  key: string;
  /** `type base64`: of the server, for a key. */
  hostKey: string | undefined;
  /** Where that is written in node-cycle.yml. */
  hostKeyAt: string;
  /** The pipeline's own repository: the token of the job does. */
  own: boolean;
}

export interface OpenedCredential {
  credential: GitCredential;
  /** Takes the key off the agent. */
  close?: () => Promise<void>;
}

/** @throws CodedError NC5004 when a part of it is missing; NC5003 of the connection. */
export async function openCredential(
  agent: PipelineAgent,
  ports: Pick<Ports, 'files' | 'random'>,
  stateDir: string,
  place: GitPlace,
): Promise<OpenedCredential> {
  const key = agent.connection(place.key);
  if (key !== undefined) return keyFiles(ports, stateDir, place, secretPart(agent, key, 'privateKey'));
  const connection = agent.connection(place.password);
  const password = connection?.secret('password') ?? connection?.secret('apitoken');
  if (connection !== undefined && password !== undefined) {
    agent.mask(password);
    const user = connection.secret('username')?.reveal() ?? 'node-cycle';
    const token = new Secret(Buffer.from(`${user}:${password.reveal()}`).toString('base64'));
    agent.mask(token);
    return { credential: { kind: 'token', token, scheme: 'basic' } };
  }
  const token = place.own ? agent.accessToken() : undefined;
  return token === undefined || !/^https?:/.test(place.url)
    ? { credential: { kind: 'none' } }
    : { credential: { kind: 'token', token, scheme: 'bearer' } };
}

/** Pull requests need the service's REST interface, which takes what git sends over HTTPS. */
export function reviewOf(
  ports: Pick<Ports, 'http'>,
  url: string,
  target: string,
  repo: GitRepo,
  credential: GitCredential,
): Review | undefined {
  if (credential.kind !== 'token') return undefined;
  const word = credential.scheme === 'bearer' ? 'Bearer' : 'Basic';
  const authorization = new Secret(`${word} ${credential.token.reveal()}`);
  const pulls = azureRepos({ http: ports.http, url, authorization });
  return pulls && { target, pulls, offer: (commit, branch, wait) => repo.offer(commit, branch, wait) };
}

async function keyFiles(
  { files, random }: Pick<Ports, 'files' | 'random'>,
  stateDir: string,
  { url, hostKey, hostKeyAt, key: input }: GitPlace,
  privateKey: Secret,
): Promise<OpenedCredential> {
  const host = sshHost(url);
  if (host === undefined)
    throw new CodedError('NC5004', `The input "${input}" gives a key, and ${url} is not reached over SSH.`);
  if (hostKey === undefined)
    throw new CodedError(
      'NC5004',
      `A key for ${url} needs the pinned host key of that server: ${hostKeyAt} in node-cycle.yml is empty.`,
    );
  const base = `${stateDir}/git-${Buffer.from(random.bytes(8)).toString('hex')}`;
  const [keyFile, knownHostsFile] = [`${base}.key`, `${base}.hosts`];
  // ssh refuses a key whose last line has no end.
  await files.create(keyFile, `${privateKey.reveal().trimEnd()}\n`, 0o600);
  await files.create(knownHostsFile, `${host} ${hostKey}\n`, 0o600);
  return {
    credential: { kind: 'sshKey', keyFile, knownHostsFile },
    close: async () => {
      await Promise.all([files.remove(keyFile), files.remove(knownHostsFile)]);
    },
  };
}

/** As known_hosts names it: `host`, or `[host]:port` for a port that is not 22. */
export function sshHost(url: string): string | undefined {
  const named = /^ssh:\/\/(?:[^@/]*@)?(\[[^\]]+\]|[^:/]+)(?::(\d+))?(?:\/|$)/i.exec(url);
  const short = url.includes('://') ? undefined : /^(?:[^@/:]+@)?(\[[^\]]+\]|[^@/:]+):/.exec(url);
  const host = (named ?? short)?.[1]?.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (host === undefined) return undefined;
  const port = named?.[2];
  return port === undefined || port === '22' ? host : `[${host}]:${port}`;
}
