/**
 * Edits of files in git: made from the branch's tip, pushed only onto that tip, made anew when the race is lost; by a
 * pull request where the branch takes nothing else.
 */
import { PortError, type Repo } from '../../ports/ports.ts';
import { CodedError } from '../../ports/errors.ts';
import { diffLines } from '../cluster/rke/cluster-yml-source.ts';
import { reviewedFiles, waitMs, type Context } from '../context.ts';
import {
  isProtectedBranch,
  judgePullRequest,
  propose,
  withdraw,
  type Proposal,
  type PullRequest,
  type Review,
} from '../edge/gitops/pull-request.ts';
import { Refused, refuse } from '../step.ts';

const GIT_MS = 60_000;
/** Each lost race means that somebody else's push succeeded. */
const RACES = 5;
/** A reviewer takes minutes at least, and each look at a request is three questions to the service. */
const REVIEW_POLLS = 5;
/** An edit of ours is a line or two in each place; the log is no place for a whole file. */
const MOST_LINES = 60;

export interface FileEdit {
  repo: Repo;
  /** How its branch is changed when it is protected. */
  review?: Review | undefined;
  path: string;
  edit(text: string): string;
  message: string;
  /** Asked right before each push. */
  before?: (() => Promise<void>) | undefined;
}

/** @returns the commit that holds the edit, pushed. Nothing is committed when the edit changes nothing. Throws Refused. */
export async function editFile(ctx: Context, change: FileEdit, signal: AbortSignal): Promise<string> {
  const wait = waitMs(GIT_MS, signal);
  const { repo, path, review } = change;
  const message = messageFor(ctx, change.message);
  for (let race = 0; race < RACES; race += 1) {
    const tip = await repo.tip(wait);
    const text = (await repo.read(tip, path, wait)) ?? '';
    const next = change.edit(text);
    if (next === text) return tip;
    const commit = await repo.commit(tip, { [path]: next }, message, wait);
    await change.before?.();
    const pushed = await repo.push(commit, tip, wait);
    if (pushed === 'pushed') return commit;
    if (pushed !== 'moved') {
      if (review === undefined || !isProtectedBranch(pushed.refused)) {
        throw new Refused(
          refuse('NC1240', `The push of ${path} was refused, so nothing was run.`, [
            pushed.refused,
            `commit message: ${change.message}`,
            ...byHand(path, text, next),
          ]),
        );
      }
      const ended = await reviewed(ctx, review, { commit, path, text: next, message }, signal);
      if (ended === 'merged') continue;
      // Somebody else changed the same lines: a new request from the new tip, unless there is no newer one.
      if ((await repo.tip(wait)) === tip) throw notCompleted(path, ended);
    }
    ctx.say(`The branch moved while ${path} was edited; the edit is made again on its new tip.`);
  }
  throw new CodedError('NC1241', `${RACES} pushes of ${path} in a row lost the race.`);
}

/**
 * Waits until the pull request for exactly that text is merged. Nothing is lost when the wait ends: the next run finds
 * the request. Throws Refused when a person must act.
 *
 * @returns `merged`, or why the service cannot merge it as it stands.
 */
async function reviewed(
  ctx: Context,
  review: Review,
  proposal: Proposal,
  signal: AbortSignal,
): Promise<string> {
  const { clock } = ctx.ports;
  const wait = waitMs(GIT_MS, signal);
  const deadlineMs = clock.now() + ctx.config.pace.reviewMinutes * 60_000;
  let pull = await propose(review, proposal, wait);
  ctx.say(`${review.target} is protected: ${proposal.path} goes through pull request ${pull.link}`);
  for (let told = ''; ;) {
    const verdict = judgePullRequest(pull);
    if (verdict.kind === 'merged') return 'merged';
    if (pull.status === 'active' && pull.cannotMerge !== undefined) return verdict.reason;
    if (verdict.kind === 'refused') throw notCompleted(proposal.path, verdict.reason);
    if (told !== verdict.reason) ctx.say(verdict.reason);
    told = verdict.reason;
    if (clock.now() >= deadlineMs)
      throw notCompleted(proposal.path, `after ${ctx.config.pace.reviewMinutes} minutes ${verdict.reason}`);
    await clock.sleep(ctx.config.pace.pollMs * REVIEW_POLLS, signal);
    pull = await readPatiently(review, pull, ctx, signal);
  }
}

/** A service that does not answer for a moment says nothing about the request. */
async function readPatiently(
  { pulls }: Review,
  last: PullRequest,
  ctx: Context,
  signal: AbortSignal,
): Promise<PullRequest> {
  try {
    return await pulls.read(last.id, waitMs(GIT_MS, signal));
  } catch (error) {
    if (!(error instanceof PortError) || error.kind === 'aborted') throw error;
    ctx.say(`pull request ${last.id} could not be read: ${error.message}`);
    return last;
  }
}

/** Abandons every pull request of ours that waits: what it would bring in is not meant any more. */
export async function withdrawAll(ctx: Context, signal: AbortSignal): Promise<void> {
  for (const { review, paths } of reviewedFiles(ctx))
    for (const path of paths)
      await withdraw(review.pulls, { path, target: review.target }, waitMs(GIT_MS, signal));
}

/** What a person changes instead, with the old text: as lines of a diff. */
export function byHand(path: string, before: string, after: string): string[] {
  return diffLines(before, after, path).trimEnd().split('\n').slice(0, MOST_LINES);
}

function notCompleted(path: string, reason: string): Refused {
  return new Refused(refuse('NC1245', `${path} was not changed, so nothing was run.`, [reason]));
}

/** `[skip ci]`: our own commits must not start the pipeline that makes them. */
function messageFor(ctx: Context, subject: string): string {
  return `${subject} [skip ci]\n\nNode-Cycle-Run: ${ctx.run.url}\n`;
}
