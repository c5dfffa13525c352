/**
 * A server of the shapes that Azure DevOps documents (REST 7.1: Git pull requests, policy evaluations), in front of a
 * bare repository: it merges a pull request with auto-complete when no blocking policy stands against it.
 */
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Policy {
  name: string;
  status: 'queued' | 'running' | 'approved' | 'rejected' | 'notApplicable' | 'broken';
  isBlocking: boolean;
}

interface Stored {
  pullRequestId: number;
  status: 'active' | 'completed' | 'abandoned';
  sourceRefName: string;
  targetRefName: string;
  title: string;
  description: string;
  mergeStatus: 'queued' | 'succeeded' | 'conflicts';
  mergeFailureMessage?: string;
  createdBy: { id: string; displayName: string };
  autoCompleteSetBy?: { id: string };
  completionOptions?: { mergeCommitMessage?: string; deleteSourceBranch?: boolean };
}

export interface AzureServer {
  /** Clone URL. */
  url: string;
  policies: Policy[];
  pulls: Stored[];
  requests: { method: string; path: string; authorization: string | undefined; body: unknown }[];
  /** Answers the next request so, once. */
  next: { status: number; body: string } | undefined;
  close(): Promise<void>;
}

const ME = { id: 'd6245f20-2af8-44f4-9451-8107cb2767db', displayName: 'Build Service' };
const PROJECT_ID = 'a7573007-bbb3-4341-b726-0c4148a07853';

export async function azureServer(
  git: (...args: string[]) => string,
  authorization: string,
): Promise<AzureServer> {
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const url = new URL(request.url ?? '/', 'http://x');
      world.requests.push({
        ...{ method: request.method ?? '', path: url.pathname + url.search },
        ...{ authorization: request.headers.authorization, body },
      });
      const once = world.next;
      world.next = undefined;
      const [status, answer] = once
        ? [once.status, once.body]
        : request.headers.authorization === authorization
          ? handle(request.method ?? '', url, body)
          : [203, '<html>Sign in</html>'];
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8; api-version=7.1' });
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const project = '/fabrikam/Big%20Project';
  const world: AzureServer = {
    ...{ url: `${origin}${project}/_git/gitops`, policies: [], pulls: [], requests: [], next: undefined },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };

  const repository = {
    id: '3411ebc1-d5aa-464f-9615-0b527bc66719',
    name: 'gitops',
    webUrl: world.url,
    project: { id: PROJECT_ID },
  };
  const shown = (pull: Stored) => ({ ...pull, repository, codeReviewId: pull.pullRequestId });
  const ref = (name: string) => git('for-each-ref', '--format=%(objectname)', name);

  function settle(pull: Stored): void {
    if (pull.status !== 'active') return;
    const [source, target] = [ref(pull.sourceRefName), ref(pull.targetRefName)];
    const conflict = git('merge-tree', git('merge-base', source, target), source, target).includes('<<<<<<<');
    pull.mergeStatus = conflict ? 'conflicts' : 'succeeded';
    const blocked = world.policies.some(
      ({ isBlocking, status }) => isBlocking && status !== 'approved' && status !== 'notApplicable',
    );
    if (pull.autoCompleteSetBy === undefined || blocked || conflict) return;
    const message = pull.completionOptions?.mergeCommitMessage ?? `Merged PR ${pull.pullRequestId}`;
    const merged = git('commit-tree', '-p', target, '-p', source, '-m', message, `${source}^{tree}`);
    git('update-ref', pull.targetRefName, merged);
    if (pull.completionOptions?.deleteSourceBranch === true) git('update-ref', '-d', pull.sourceRefName);
    pull.status = 'completed';
  }

  function handle(method: string, url: URL, body: unknown): [number, unknown] {
    for (const pull of world.pulls) settle(pull);
    const base = `${project}/_apis/git/repositories/gitops/pullrequests`;
    if (method === 'GET' && url.pathname === `${project}/_apis/policy/evaluations`) {
      if (
        !(url.searchParams.get('artifactId') ?? '').startsWith(
          `vstfs:///CodeReview/CodeReviewId/${PROJECT_ID}/`,
        )
      )
        return [400, { message: 'artifactId' }];
      const value = world.policies.map(({ name, status, isBlocking }) => ({
        ...{
          status,
          evaluationId: 'e',
          configuration: { isBlocking, isEnabled: true, type: { displayName: name }, settings: {} },
        },
      }));
      return [200, { value, count: value.length }];
    }
    if (method === 'POST' && url.pathname === base) return create(body as Partial<Stored>);
    if (method === 'GET' && url.pathname === base) {
      const wanted = url.searchParams.get('searchCriteria.status');
      const target = url.searchParams.get('searchCriteria.targetRefName');
      const value = world.pulls.filter((pull) => pull.status === wanted && pull.targetRefName === target);
      return [
        200,
        { value: value.map(({ autoCompleteSetBy: _left, ...pull }) => shown(pull)), count: value.length },
      ];
    }
    const pull = world.pulls.find(({ pullRequestId }) => url.pathname === `${base}/${pullRequestId}`);
    if (pull === undefined) return [404, { message: 'TF401180: The requested pull request was not found.' }];
    if (method === 'PATCH') {
      Object.assign(pull, body);
      settle(pull);
    }
    return [200, shown(pull)];
  }

  function create(wanted: Partial<Stored>): [number, unknown] {
    const { sourceRefName = '', targetRefName = '', title = '', description = '' } = wanted;
    if (ref(sourceRefName) === '') return [400, { message: `TF401398: ${sourceRefName} does not exist.` }];
    if (world.pulls.some((pull) => pull.status === 'active' && pull.sourceRefName === sourceRefName))
      return [
        409,
        { message: 'TF401179: An active pull request for the source and target branch already exists.' },
      ];
    const pull: Stored = {
      ...{ pullRequestId: world.pulls.length + 1, status: 'active', mergeStatus: 'queued', createdBy: ME },
      ...{ sourceRefName, targetRefName, title, description },
    };
    world.pulls.push(pull);
    return [201, shown(pull)];
  }
  return world;
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? undefined : JSON.parse(text);
}
