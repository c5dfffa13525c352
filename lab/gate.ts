/** Who answers at a gate: a person at the terminal, everybody's yes, or one stage's no. */
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import type { LabSettings } from './options.ts';
import type { ApprovalAnswer, ApprovalRequest } from './runner/run.ts';
import type { ViewEvent } from './view/events.ts';

const NEXT: Record<string, string> = {
  remove_dead: 'the dead node leaves proxy, DNS and cluster before its successor joins',
  controlplane: 'the control plane is taken from the old node; from here the cycle only goes forward',
  etcd: 'a snapshot is taken, then the etcd member of the old node is removed',
  node: 'the old node is drained and leaves the cluster',
};

const CONTROL_C = '\u0003';

export function gate(
  settings: LabSettings,
  show: (event: ViewEvent) => void,
): (request: ApprovalRequest) => Promise<ApprovalAnswer> {
  return async ({ stage }) => {
    const name = stage.replace(/_\d+$/, '');
    const lines = [NEXT[name] ?? 'the stage goes on'];
    if (settings.approve.how === 'reject') {
      const approved = settings.approve.stage !== name;
      show({ kind: 'approval.answered', stage, approved, by: '--approve' });
      return approved ? 'approve' : 'reject';
    }
    if (settings.approve.how === 'auto') {
      show({ kind: 'approval.answered', stage, approved: true, by: '--approve auto' });
      return 'approve';
    }
    show({ kind: 'approval.asked', stage, lines });
    const approved = await (process.stdin.isTTY
      ? pressed()
      : typed(`${stage}: ${lines.join(' ')}. Approve?`));
    show({ kind: 'approval.answered', stage, approved, by: 'you' });
    return approved ? 'approve' : 'reject';
  };
}

/** One key at a terminal: a line that the terminal echoes would break the view, which asks the question itself. */
async function pressed(): Promise<boolean> {
  const { stdin } = process;
  stdin.setRawMode(true);
  stdin.resume();
  try {
    for (;;) {
      const [key] = (await once(stdin, 'data')) as [Buffer];
      const text = key.toString('utf8').toLowerCase();
      if (text === 'y' || text === 'n') return text === 'y';
      if (text !== CONTROL_C) continue;
      // In raw mode the terminal does not make the signal.
      process.kill(process.pid, 'SIGINT');
      return false;
    }
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
  }
}

async function typed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/n] `)).trim());
  } finally {
    terminal.close();
  }
}
