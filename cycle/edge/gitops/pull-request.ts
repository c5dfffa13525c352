/**
 * A change to a protected branch: it becomes a pull request from a branch of our own, which the service completes when
 * the branch's policies allow it. Nothing is remembered: the branch's name follows from what the file is to be, so the
 * next run finds the request that a killed one made.
 */
import type { Wait } from '../../../ports/ports.ts';
import { CodedError } from '../../../ports/errors.ts';
import { sha256Hex } from '../sha256.ts';

export interface PullRequest {
  id: string;
  /** For a person's browser. */
  link: string;
  /** Source branch, short. */
  branch: string;
  status: 'active' | 'completed' | 'abandoned';
  autoComplete: boolean;
  /** Why the service cannot merge it: conflicts, a refusal of its own. */
  cannotMerge?: string | undefined;
  /** Policies that the branch insists on and that are not fulfilled. */
  policies: { name: string; status: 'waiting' | 'rejected' }[];
}

/** The service that has the repository. */
export interface PullRequests {
  /** All active ones from branches below `prefix` to the target. */
  active(prefix: string, target: string, wait: Wait): Promise<PullRequest[]>;
  open(request: NewPullRequest, wait: Wait): Promise<PullRequest>;
  /** Asks the service to merge it as soon as the policies allow; `message` is the merge commit's. */
  completeWhenAllowed(id: string, message: string, wait: Wait): Promise<void>;
  abandon(id: string, wait: Wait): Promise<void>;
  read(id: string, wait: Wait): Promise<PullRequest>;
}

/** A branch that is changed through pull requests, when its protection wants that. */
export interface Review {
  /** Short name of the protected branch. */
  target: string;
  pulls: PullRequests;
  /** Pushes a branch of our own, for a request to come from. */
  offer(commit: string, branch: string, wait: Wait): Promise<'pushed' | { refused: string }>;
}

export interface NewPullRequest {
  branch: string;
  target: string;
  title: string;
  description: string;
}

export interface Proposal {
  /** The commit, on the target's tip. */
  commit: string;
  path: string;
  /** What the file is to be. */
  text: string;
  /** Subject, empty line, trailer: title and description come from it, and the merge commit is to have it. */
  message: string;
}

export type Verdict =
  | { kind: 'merged' }
  | { kind: 'waiting'; reason: string }
  /** Waiting would not help: a person must act. */
  | { kind: 'refused'; reason: string };

/** A push that was refused because the branch takes pull requests only, as Azure Repos, GitHub and GitLab say it. */
export function isProtectedBranch(refused: string): boolean {
  return /\bTF402455\b|\bGH006\b|\bGH013\b|protected branch hook declined|not allowed to (?:force )?push code to (?:a )?protected branch/i.test(
    refused,
  );
}

/** Finds the pull request for exactly this text, or makes it; withdraws those of ours that want another. Harmless to repeat. */
export async function propose(
  { pulls, offer, target }: Review,
  proposal: Proposal,
  wait: Wait,
): Promise<PullRequest> {
  const { commit, path, text, message } = proposal;
  const branch = `${prefixOf(path)}${sha256Hex(Buffer.from(text)).slice(0, 16)}`;
  const known = await withdraw(pulls, { path, target, keep: branch }, wait);
  if (known) {
    // A run that was killed between the two calls left it without.
    if (!known.autoComplete) await pulls.completeWhenAllowed(known.id, message, wait);
    return pulls.read(known.id, wait);
  }
  const offered = await offer(commit, branch, wait);
  if (offered !== 'pushed') {
    throw new CodedError('NC4061', `The branch ${branch} for a pull request could not be pushed.`, [
      offered.refused,
    ]);
  }
  const [title = '', ...rest] = message.split('\n');
  const made = await pulls.open({ branch, target, title, description: rest.join('\n').trim() }, wait);
  await pulls.completeWhenAllowed(made.id, message, wait);
  return pulls.read(made.id, wait);
}

/** Links of our active requests for those files. */
export async function proposed(
  { pulls, target }: Review,
  paths: readonly string[],
  wait: Wait,
): Promise<string[]> {
  const found = await Promise.all(paths.map((path) => pulls.active(prefixOf(path), target, wait)));
  return found.flat().map(({ link }) => link);
}

/**
 * Abandons our active requests for that file, all but the one from `keep`, which it gives. Also for the way back: a
 * request that still waits would bring the change in later.
 */
export async function withdraw(
  pulls: PullRequests,
  { path, target, keep }: { path: string; target: string; keep?: string },
  wait: Wait,
): Promise<PullRequest | undefined> {
  let kept: PullRequest | undefined;
  for (const pull of await pulls.active(prefixOf(path), target, wait)) {
    if (pull.branch === keep && pull.cannotMerge === undefined) kept = pull;
    else await pulls.abandon(pull.id, wait);
  }
  return kept;
}

export function judgePullRequest(pull: PullRequest): Verdict {
  if (pull.status === 'completed') return { kind: 'merged' };
  const at = `pull request ${pull.id} (${pull.link})`;
  if (pull.status === 'abandoned') return { kind: 'refused', reason: `${at} was abandoned` };
  if (pull.cannotMerge !== undefined)
    return { kind: 'refused', reason: `${at} cannot be merged: ${pull.cannotMerge}` };
  const named = (status: 'waiting' | 'rejected') =>
    pull.policies.filter((policy) => policy.status === status).map(({ name }) => name);
  const rejected = named('rejected');
  if (rejected.length > 0) return { kind: 'refused', reason: `${at} was rejected by ${rejected.join(', ')}` };
  const waiting = named('waiting');
  return { kind: 'waiting', reason: `${at} waits for ${waiting.join(', ') || 'the service to merge it'}` };
}

function prefixOf(path: string): string {
  return `node-cycle/${sha256Hex(Buffer.from(path)).slice(0, 8)}/`;
}
