/** Decides over every call: what is away, and which calls go wrong by themselves. */
import { hash } from '../chance.ts';
import type { Life } from '../time.ts';
import type { Call, Far, Verdict } from '../wire.ts';
import type { CallFault, Script } from './script.ts';

export interface Weather {
  judge(who: Life, call: Call): Verdict;
  /** Far sides that nobody reaches now. */
  readonly away: Set<Far>;
}

const SHARE = 0x1_0000_0000;

export function weather(
  script: Script,
  elapsedMs: () => number,
  happened: (kind: CallFault, id: string, call: Call) => void,
): Weather {
  const ordinals = new Map<string, number>();
  const away = new Set<Far>();
  return {
    away,
    judge(who, call) {
      if (away.has(call.far)) return { kind: 'fails', how: call.far === 'dns' ? 'timeout' : 'unreachable' };
      if (script.callRate === 0 || elapsedMs() >= script.horizonMs) return { kind: 'pass' };
      const where = `${who.name} ${call.far}`;
      const ordinal = (ordinals.get(where) ?? 0) + 1;
      ordinals.set(where, ordinal);
      const id = `call ${ordinal} of ${where}`;
      const roll = hash(`${script.seed} ${id}`);
      if (roll / SHARE >= script.callRate || script.without.has(id)) return { kind: 'pass' };
      const kinds = script.callKinds.filter((kind) => may(kind, call));
      const kind = kinds[hash(`kind ${script.seed} ${id}`) % Math.max(1, kinds.length)];
      if (kind === undefined) return { kind: 'pass' };
      happened(kind, id, call);
      return verdictOf(kind, hash(`how ${script.seed} ${id}`));
    },
  };
}

/** Files and programs are on the task's own machine; a linearised read is never stale. */
function may(kind: CallFault, { far, read }: Call): boolean {
  const local = far === 'files' || far === 'program';
  switch (kind) {
    case 'the task is killed before a call':
    case 'the task is killed after a call':
      return true;
    case 'a request arrives twice':
      return far === 'kubernetes' || far === 'bridge' || far === 'service';
    case 'an answer is stale':
      return read && ['dns', 'git', 'gitops', 'ingress', 'proxy'].includes(far);
    default:
      return !local;
  }
}

function verdictOf(kind: CallFault, how: number): Verdict {
  switch (kind) {
    case 'a call fails':
      return { kind: 'fails', how: (['unreachable', 'refused', 'timeout'] as const)[how % 3] ?? 'refused' };
    case 'a call takes effect and its answer is lost':
      return { kind: 'lost' };
    case 'a call hangs':
      return { kind: 'hangs', arrives: false };
    case 'a call hangs and takes effect':
      return { kind: 'hangs', arrives: true };
    case 'an answer is late':
      return { kind: 'late', ms: 200 + (how % 15_000) };
    case 'a request arrives twice':
      return { kind: 'twice' };
    case 'an answer is stale':
      return { kind: 'stale' };
    case 'the task is killed before a call':
      return { kind: 'crashes', when: 'before' };
    case 'the task is killed after a call':
      return { kind: 'crashes', when: 'after' };
  }
}
