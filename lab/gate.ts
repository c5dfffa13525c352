/** Who answers at a gate: a person at the terminal, everybody's yes, or one stage's no. */
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
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    try {
      const answer = await terminal.question(`\n${stage}: ${lines.join(' ')}. Approve? [y/n] `);
      const approved = /^y(es)?$/i.test(answer.trim());
      show({ kind: 'approval.answered', stage, approved, by: 'you' });
      return approved ? 'approve' : 'reject';
    } finally {
      terminal.close();
    }
  };
}
