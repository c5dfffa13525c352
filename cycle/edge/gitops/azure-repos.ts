/** Pull requests on Azure Repos, over its REST API 7.1 (Git pull requests, policy evaluations). */
import { CodedError } from '../../../ports/errors.ts';
import type { Http, Wait } from '../../../ports/ports.ts';
import type { Secret } from '../../../ports/secret.ts';
import type { PullRequest, PullRequests } from './pull-request.ts';

export interface AzureReposOptions {
  http: Http;
  /** The repository's clone URL. */
  url: string;
  /** The whole value of the Authorization header: the one that git uses for this URL. */
  authorization: Secret;
}

/** Published fields that are read. */
interface GitPullRequest {
  pullRequestId?: number;
  status?: string;
  sourceRefName?: string;
  mergeStatus?: string;
  mergeFailureMessage?: string;
  autoCompleteSetBy?: { id?: string };
  createdBy?: { id?: string };
  repository?: { webUrl?: string; project?: { id?: string } };
}

interface PolicyEvaluation {
  status?: string;
  configuration?: {
    isBlocking?: boolean;
    isEnabled?: boolean;
    type?: { displayName?: string };
    settings?: { displayName?: string | null };
  };
}

const LONGEST_ANSWER_BYTES = 4 * 1024 * 1024;
/** Far more than our own can be; the service gives 100 when nothing is said. */
const MOST_ACTIVE = 1_000;

/** Undefined when the URL is none of Azure Repos: there is no service that could be asked. */
export function azureRepos({ http, url, authorization }: AzureReposOptions): PullRequests | undefined {
  const place = azurePlace(url);
  if (place === undefined) return undefined;
  const { project, repository } = place;
  const pullRequests = `${project}/_apis/git/repositories/${encodeURIComponent(repository)}/pullrequests`;

  const ask = async <T>(method: string, address: string, wait: Wait, body?: object): Promise<T> => {
    const response = await http({
      method,
      url: address,
      headers: {
        ...{ authorization: authorization.reveal(), accept: 'application/json' },
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      deadlineMs: wait.deadlineMs,
      signal: wait.signal,
    });
    const text = await readText(response.body);
    const bad = (what: string) =>
      new CodedError('NC4061', `${method} ${address.split('?')[0] ?? ''}: ${what}.`, [wordsOf(text)]);
    // A credential that is not accepted is answered with 203 and a page to sign in.
    if (response.status !== 200 && response.status !== 201) throw bad(`status ${response.status}`);
    try {
      return JSON.parse(text) as T;
    } catch {
      throw bad('expected JSON');
    }
  };
  const one = (id: string) => `${pullRequests}/${encodeURIComponent(id)}?api-version=7.1`;
  const raw = (id: string, wait: Wait) => ask<GitPullRequest>('GET', one(id), wait);

  const policies = async (pull: GitPullRequest, wait: Wait): Promise<PullRequest['policies']> => {
    const projectId = pull.repository?.project?.id ?? '';
    const artifact = `vstfs:///CodeReview/CodeReviewId/${projectId}/${pull.pullRequestId ?? ''}`;
    const address = `${project}/_apis/policy/evaluations?artifactId=${encodeURIComponent(artifact)}&api-version=7.1-preview.1`;
    const { value = [] } = await ask<{ value?: PolicyEvaluation[] }>('GET', address, wait);
    return value.flatMap(({ status, configuration }) => {
      if (configuration?.isBlocking !== true || configuration.isEnabled === false) return [];
      if (status === 'approved' || status === 'notApplicable') return [];
      const name = configuration.settings?.displayName ?? configuration.type?.displayName ?? 'a policy';
      return [
        { name, status: status === 'rejected' || status === 'broken' ? ('rejected' as const) : 'waiting' },
      ];
    });
  };
  const whole = async (pull: GitPullRequest, wait: Wait): Promise<PullRequest> => {
    const id = String(pull.pullRequestId ?? '');
    const status = pull.status === 'completed' || pull.status === 'abandoned' ? pull.status : 'active';
    const failed =
      pull.mergeStatus === 'conflicts' || pull.mergeStatus === 'failure' ? pull.mergeStatus : undefined;
    return {
      ...{ id, status, branch: shortName(pull.sourceRefName) },
      link: `${pull.repository?.webUrl ?? url}/pullrequest/${id}`,
      autoComplete: pull.autoCompleteSetBy?.id !== undefined,
      cannotMerge: failed && `${failed}${pull.mergeFailureMessage ? `: ${pull.mergeFailureMessage}` : ''}`,
      policies: status === 'active' ? await policies(pull, wait) : [],
    };
  };

  return {
    async active(prefix, target, wait) {
      const query = `searchCriteria.status=active&searchCriteria.targetRefName=${encodeURIComponent(`refs/heads/${target}`)}&$top=${MOST_ACTIVE}`;
      const { value = [] } = await ask<{ value?: GitPullRequest[] }>(
        'GET',
        `${pullRequests}?${query}&api-version=7.1`,
        wait,
      );
      const ours = value.filter((pull) => shortName(pull.sourceRefName).startsWith(prefix));
      // The list leaves fields out that a single read has.
      return Promise.all(
        ours.map(async (pull) => whole(await raw(String(pull.pullRequestId ?? ''), wait), wait)),
      );
    },
    async open({ branch, target, title, description }, wait) {
      const made = await ask<GitPullRequest>('POST', `${pullRequests}?api-version=7.1`, wait, {
        ...{ sourceRefName: `refs/heads/${branch}`, targetRefName: `refs/heads/${target}` },
        ...{ title, description },
      });
      return whole(made, wait);
    },
    async completeWhenAllowed(id, message, wait) {
      const { createdBy } = await raw(id, wait);
      if (createdBy?.id === undefined)
        throw new CodedError('NC4061', `Pull request ${id} does not say who created it.`);
      await ask('PATCH', one(id), wait, {
        autoCompleteSetBy: { id: createdBy.id },
        completionOptions: { deleteSourceBranch: true, mergeCommitMessage: message },
      });
    },
    async abandon(id, wait) {
      await ask('PATCH', one(id), wait, { status: 'abandoned' });
    },
    read: async (id, wait) => whole(await raw(id, wait), wait),
  };
}

/** `https://dev.azure.com/org/project/_git/repo`, `https://org.visualstudio.com/…`, a server's collection, or the SSH form. */
export function azurePlace(url: string): { project: string; repository: string } | undefined {
  const ssh = /^(?:ssh:\/\/)?git@ssh\.dev\.azure\.com[:/](?:22\/)?v3\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(url);
  if (ssh) {
    const [, organisation, project, repository] = ssh as unknown as [string, string, string, string];
    return {
      project: `https://dev.azure.com/${organisation}/${project}`,
      repository: decodeURIComponent(repository),
    };
  }
  const [base, repository, ...more] = url.replace(/\/+$/, '').split('/_git/');
  if (base === undefined || repository === undefined || more.length > 0 || !/^https?:\/\//.test(base))
    return undefined;
  if (repository === '' || repository.includes('/')) return undefined;
  const parsed = new URL(base);
  const parts = parsed.pathname.split('/').filter((part) => part !== '');
  const named = parsed.hostname.endsWith('.visualstudio.com') ? parts.length > 0 : parts.length > 1;
  // A repository that is called like its project is left out of neither: `…/org/_git/repo` is project repo.
  const project = named && parts.at(-1) !== 'DefaultCollection' ? parts : [...parts, repository];
  return { project: `${parsed.origin}/${project.join('/')}`, repository: decodeURIComponent(repository) };
}

function shortName(ref: string | undefined): string {
  return (ref ?? '').replace(/^refs\/heads\//, '');
}

/** Azure DevOps puts its words into `message`. */
function wordsOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message.slice(0, 500);
  } catch {
    // A page of HTML: its beginning is all there is to say.
  }
  return text.slice(0, 200);
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > LONGEST_ANSWER_BYTES)
      throw new CodedError('NC4061', `An answer of more than ${LONGEST_ANSWER_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
