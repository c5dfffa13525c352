/** The invariants that are judged at the moment of a call or a record: who acts, on what he has seen, and what he says. */
import type { RunEvent } from '../../cycle/record.ts';
import type { Input } from '../outside/input.ts';
import type { Call, Far } from '../wire.ts';

export interface CallJudge {
  /** Right before a call takes effect. `holder`: of the lock, now. */
  beforeEffect(process: string, run: string, call: Call, holder: string): string | undefined;
  /** A read has been answered. */
  answered(process: string, call: Call): void;
  recorded(process: string, event: RunEvent): string | undefined;
  /** Any text that leaves a process. */
  said(where: string, text: string): string | undefined;
}

/** What changes the world outside; a read, a probe and the task's own files do not. */
export function isChange({ far, what, read }: Call): boolean {
  if (read) return false;
  switch (far) {
    case 'kubernetes':
      // The lock itself is taken and given back with it.
      return !what.includes('/leases');
    case 'bridge':
      return what.startsWith('POST /v1/jobs') && !what.endsWith('/cancel');
    case 'proxy':
      return what === 'put' || what === 'reload';
    case 'git':
    case 'gitops':
      return what === 'git push';
    case 'program':
      return what === 'rke up' || what === 'nsupdate';
    case 'etcd':
      return /member\/(add|remove|promote)|transfer-leadership/.test(what);
    default:
      return false;
  }
}

export function callJudge(input: Input): CallJudge {
  /** By process: far sides that were read since its last change. */
  const read = new Map<string, Set<Far>>();
  const secrets = secretsOf(input);
  const said = (where: string, text: string): string | undefined => {
    const found = secrets.find(({ part }) => text.includes(part));
    return found === undefined ? undefined : `${where} shows ${found.name}`;
  };
  return {
    said,
    beforeEffect(process, run, call, holder) {
      if (!isChange(call)) return undefined;
      read.set(process, new Set());
      if (holder.split('/').pop() === run) return undefined;
      return `${process} does ${call.far} ${call.what}, and the lock is held by ${holder === '' ? 'nobody' : holder}`;
    },
    answered(process, call) {
      const fars = read.get(process) ?? new Set<Far>();
      read.set(process, fars);
      fars.add(call.far);
    },
    recorded(process, event) {
      const leak = said(`the record of ${process}`, JSON.stringify(event));
      if (leak !== undefined) return leak;
      if (event.kind !== 'action.started' || !event.irreversible) return undefined;
      const fars = read.get(process) ?? new Set<Far>();
      // The lock is on the API server; what else a step looks at is one more place at least.
      if (fars.has('kubernetes') && fars.size > 1) return undefined;
      return `${process} begins ${event.id} after having seen ${[...fars].join(', ') || 'nothing'} since its last change`;
    },
  };
}

/** One line from the middle of each, so that a text in another form is found too. */
function secretsOf(input: Input): { name: string; part: string }[] {
  const middle = (pem: string) => {
    const lines = pem.split('\n').filter((line) => line.length > 40 && !line.startsWith('-----'));
    return lines[Math.floor(lines.length / 2)] ?? pem;
  };
  return [
    { name: "the nodes' SSH key", part: middle(input.example.nodeKey.private) },
    { name: "the proxy's SSH key", part: middle(input.proxyKey.private) },
    { name: 'the TSIG key', part: input.tsig.secret },
    { name: "the agent's key for the bridge", part: middle(input.client.keyPem) },
    { name: "the job's token", part: input.serviceToken },
  ];
}
