/** Edits of files in git: made from the branch's tip, pushed only onto that tip, made anew when the race is lost. */
import type { Repo } from '../../ports/ports.ts';
import { CodedError } from '../../ports/errors.ts';
import { waitMs, type Context } from '../context.ts';
import { Refused, refuse } from '../step.ts';

const GIT_MS = 60_000;
/** Each lost race means that somebody else's push succeeded. */
const RACES = 5;

export interface FileEdit {
  repo: Repo;
  path: string;
  edit(text: string): string;
  message: string;
  /** Asked right before each push. */
  before?: (() => Promise<void>) | undefined;
}

/** @returns the commit that holds the edit, pushed. Nothing is committed when the edit changes nothing. Throws Refused. */
export async function editFile(ctx: Context, change: FileEdit, signal: AbortSignal): Promise<string> {
  const wait = waitMs(GIT_MS, signal);
  for (let race = 0; race < RACES; race += 1) {
    const tip = await change.repo.tip(wait);
    const text = (await change.repo.read(tip, change.path, wait)) ?? '';
    const next = change.edit(text);
    if (next === text) return tip;
    const commit = await change.repo.commit(
      tip,
      { [change.path]: next },
      messageFor(ctx, change.message),
      wait,
    );
    await change.before?.();
    const pushed = await change.repo.push(commit, tip, wait);
    if (pushed === 'pushed') return commit;
    if (pushed !== 'moved') {
      throw new Refused(
        refuse('NC1240', `The push of ${change.path} was refused, so nothing was run.`, [
          pushed.refused,
          `commit message: ${change.message}`,
        ]),
      );
    }
    ctx.say(`The branch moved while ${change.path} was edited; the edit is made again on its new tip.`);
  }
  throw new CodedError('NC1241', `${RACES} pushes of ${change.path} in a row lost the race.`);
}

/** `[skip ci]`: our own commits must not start the pipeline that makes them. */
function messageFor(ctx: Context, subject: string): string {
  return `${subject} [skip ci]\n\nNode-Cycle-Run: ${ctx.run.url}\n`;
}
