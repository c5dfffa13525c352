/**
 * Writes the view: a few lines redrawn in place at a terminal, one line an event otherwise.
 */
import type { ViewEvent } from './events.ts';
import { coloured, finalTable, fold, initialState, liveLines, plain, plainLines } from './render.ts';

export interface Terminal {
  isTTY?: boolean | undefined;
  columns?: number | undefined;
  write(text: string): unknown;
}

export interface View {
  show(event: ViewEvent): void;
  /** Stops redrawing and leaves the cursor below the last line. */
  close(): void;
}

export interface ViewOptions {
  out: Terminal;
  env: Record<string, string | undefined>;
  nowMs: () => number;
}

const REDRAW_MS = 100;

/** Lines that stay above the redrawn ones. */
const KEPT: ReadonlySet<ViewEvent['kind']> = new Set([
  'component',
  'step.ended',
  'issue',
  'approval.answered',
]);

/** Redrawn only where a person looks: a terminal that can, outside of CI. NO_COLOR takes the colours alone. */
export function isLive({ out, env }: Pick<ViewOptions, 'out' | 'env'>): boolean {
  return out.isTTY === true && !given(env['CI']) && env['TERM'] !== 'dumb';
}

function given(value: string | undefined): boolean {
  return value !== undefined && value !== '';
}

export function openView(options: ViewOptions): View {
  const { out, env, nowMs } = options;
  const live = isLive(options);
  const paint = live && !given(env['NO_COLOR']) ? coloured : plain;
  const startedMs = nowMs();
  let state = initialState(startedMs);
  let drawn = 0;
  const erase = (): string => (drawn === 0 ? '' : `\u001b[${drawn}F\u001b[J`);
  const draw = (kept: readonly string[]): void => {
    const lines = liveLines(state, nowMs(), out.columns ?? 80, paint);
    out.write(`${erase()}${[...kept, ...lines].map((line) => `${line}\n`).join('')}`);
    drawn = lines.length;
  };
  const timer = live ? setInterval(() => draw([]), REDRAW_MS) : undefined;
  timer?.unref();
  const close = (): void => clearInterval(timer);
  return {
    show(event) {
      const at = nowMs();
      state = fold(state, event, at);
      if (!live) {
        for (const line of plainLines(event, at - startedMs, paint)) out.write(`${line}\n`);
        return;
      }
      if (event.kind === 'ended') {
        close();
        out.write(`${erase()}${finalTable(event.outcome, event.table, paint).join('\n')}\n`);
        drawn = 0;
        return;
      }
      if (KEPT.has(event.kind)) draw(plainLines(event, at - startedMs, paint));
      else if (event.kind === 'approval.asked') draw([]);
    },
    close,
  };
}
