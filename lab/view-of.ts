/** The runner's events as what a person sees. */
import type { RunnerEvent } from './runner/run.ts';
import type { StageResult, ViewEvent } from './view/events.ts';

/** The tasks' log lines that open and close an action. */
const OPENS = /^##\[group\](Doing|Waiting): (.+)$/;
const CLOSES = /^Done: (.+) \(([0-9.]+) s\)$/;

/** What git and rke say line by line; an agent's log has it, a person who watches asks for it with `--verbose`. */
const CHATTER = /^(##\[command\]git |rke (info|debug): |rke: time=)/;

export function viewOf(show: (event: ViewEvent) => void, verbose: boolean): (event: RunnerEvent) => void {
  const began = new Map<string, number>();
  let opening: { id: string; wait: boolean } | undefined;
  return (event) => {
    if (event.type === 'stage') {
      if (event.state === 'started') {
        began.set(event.stage, event.atMs);
        show({ kind: 'stage.started', stage: event.stage });
      } else {
        const result = resultOf(event.result, event.cause);
        show({
          kind: 'stage.ended',
          stage: event.stage,
          result,
          durationMs: event.atMs - (began.get(event.stage) ?? event.atMs),
        });
      }
    } else if (event.type === 'step') {
      const step = event.displayName;
      if (event.state === 'started') show({ kind: 'step.started', stage: event.stage, step });
      else
        show({
          kind: 'step.ended',
          stage: event.stage,
          step,
          result: resultOf(event.result),
          durationMs: event.durationMs,
        });
    } else if (event.type === 'issue') {
      show({ kind: 'issue', level: event.severity, text: event.message });
    } else if (event.type === 'log') {
      const opened = OPENS.exec(event.line);
      const closed = CLOSES.exec(event.line);
      // The line after it says why.
      if (opened !== null) opening = { id: opened[2] ?? '', wait: opened[1] === 'Waiting' };
      else if (opening !== undefined) {
        show({
          kind: 'action.started',
          ...opening,
          reason: event.line.replace(/^because /, ''),
          irreversible: false,
        });
        opening = undefined;
      } else if (closed !== null)
        show({ kind: 'action.done', id: closed[1] ?? '', durationMs: Number(closed[2]) * 1000 });
      else if (event.line !== '##[endgroup]' && (verbose || !CHATTER.test(event.line)))
        show({ kind: 'log', step: event.step ?? event.stage, text: event.line });
    }
  };
}

function resultOf(result: string, cause?: string): StageResult {
  if (cause === 'rejected') return 'rejected';
  if (result === 'succeeded' || result === 'succeededWithIssues') return 'succeeded';
  if (result === 'canceled') return 'cancelled';
  return result === 'skipped' ? 'skipped' : 'failed';
}
