/** Every call of every port goes over this wire: it takes time, it can fail in many ways, and it is in the trace. */
import { PortError, type PortFailure, type Wait } from '../ports/ports.ts';
import type { Chance } from './chance.ts';
import type { Life, VirtualTime } from './time.ts';
import type { Trace } from './trace.ts';

export type Far =
  | 'kubernetes'
  | 'etcd'
  | 'bridge'
  | 'service'
  | 'ingress'
  | 'proxy'
  | 'node'
  | 'dns'
  | 'git'
  | 'gitops'
  | 'program'
  | 'files';

export interface Call {
  port: PortError['port'];
  far: Far;
  /** Who is called, where there are several: an address. */
  at: string;
  /** What is asked, without values that differ from run to run. */
  what: string;
  read: boolean;
}

export type Verdict =
  | { kind: 'pass' }
  /** Nothing arrives. */
  | { kind: 'fails'; how: PortFailure }
  /** It takes effect, and the answer is lost. */
  | { kind: 'lost' }
  /** Nothing comes until the caller's deadline; `arrives`: it takes effect all the same. */
  | { kind: 'hangs'; arrives: boolean }
  | { kind: 'late'; ms: number }
  /** A retry somewhere on the way: it takes effect twice, the first answer counts. */
  | { kind: 'twice' }
  /** The answer that the same question had before. */
  | { kind: 'stale' }
  /** The caller is killed. */
  | { kind: 'crashes'; when: 'before' | 'after' };

export interface Wire {
  call<T>(
    who: Life,
    call: Call,
    wait: Partial<Wait>,
    perform: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
}

const LATENCY_MS = { least: 1, most: 9 };

export interface WireEvents {
  judge(who: Life, call: Call): Verdict;
  /** Right before a call takes effect. */
  beforeEffect(who: Life, call: Call): void;
  /** Its answer has reached the caller. */
  answered(who: Life, call: Call): void;
}

export function wire(time: VirtualTime, chance: Chance, trace: Trace, events: WireEvents): Wire {
  const answers = new Map<string, unknown>();
  return {
    call(who, call, wait, perform) {
      const { port, far, at, what } = call;
      const words = `${who.name} ${far} ${at} ${what}`;
      return new Promise((resolve, reject) => {
        if (who.dead) return;
        const gone = new AbortController();
        let sent = false;
        const finish = (end: () => void, how: string) => {
          if (over) return;
          over = true;
          deadline?.cancel();
          wait.signal?.removeEventListener('abort', onAbort);
          forget();
          if (who.dead) return;
          trace.call(words, how);
          if (how === 'ok' || how === 'stale') events.answered(who, call);
          end();
        };
        let over = false;
        const fail = (kind: PortFailure, message: string) =>
          finish(() => reject(new PortError(kind, port, `${far} ${at}: ${message}`, sent)), kind);
        const onAbort = () => {
          gone.abort();
          fail('aborted', 'the call was aborted');
        };
        const forget = who.onKill(() => {
          gone.abort();
          finish(() => undefined, 'killed');
        });
        const deadline =
          wait.deadlineMs === undefined || !Number.isFinite(wait.deadlineMs)
            ? undefined
            : time.after(wait.deadlineMs, () => {
                gone.abort();
                fail('timeout', `no answer within ${wait.deadlineMs ?? 0} ms`);
              });
        if (wait.signal?.aborted === true) {
          onAbort();
          return;
        }
        wait.signal?.addEventListener('abort', onAbort, { once: true });

        const verdict = events.judge(who, call);
        const arrive = (then: (work: Promise<unknown>) => void) =>
          time.after(chance.between(LATENCY_MS.least, LATENCY_MS.most), () => {
            if (over && verdict.kind !== 'hangs') return;
            sent = true;
            events.beforeEffect(who, call);
            then(perform(gone.signal));
          });
        const answer = (work: Promise<unknown>, extraMs = 0) =>
          void work.then(
            (value) => {
              if (call.read) answers.set(`${far} ${at} ${what}`, value);
              time.after(extraMs, () => finish(() => resolve(value as never), 'ok'));
            },
            (error: unknown) =>
              time.after(extraMs, () =>
                finish(() => reject(error), error instanceof PortError ? error.kind : 'error'),
              ),
          );
        switch (verdict.kind) {
          case 'pass':
            arrive((work) => answer(work));
            break;
          case 'fails':
            time.after(LATENCY_MS.least, () => fail(verdict.how, 'it was not reached'));
            break;
          case 'lost':
            arrive((work) => {
              const lose = () => fail('closed', 'the connection ended before the answer');
              work.then(lose, lose);
            });
            break;
          case 'hangs':
            if (verdict.arrives) arrive((work) => void work.catch(() => undefined));
            break;
          case 'late':
            arrive((work) => answer(work, verdict.ms));
            break;
          case 'twice':
            arrive((work) => {
              answer(work);
              perform(gone.signal).catch(() => undefined);
            });
            break;
          case 'stale': {
            const before = answers.get(`${far} ${at} ${what}`);
            if (before === undefined) arrive((work) => answer(work));
            else time.after(LATENCY_MS.least, () => finish(() => resolve(before as never), 'stale'));
            break;
          }
          case 'crashes':
            if (verdict.when === 'before') time.after(0, () => who.kill());
            else
              arrive((work) => {
                const die = () => who.kill();
                work.then(die, die);
              });
            break;
        }
      });
    },
  };
}
