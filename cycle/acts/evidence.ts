/** Asks a new node what it is, once a run, and keeps the answer in the record. */
import { CodedError } from '../../ports/errors.ts';
import type { Context } from '../context.ts';
import { EVIDENCE_COMMAND, EVIDENCE_MS } from '../evidence/command.ts';
import { evidenceFacts, readEvidence } from '../evidence/read.ts';
import { loginTarget } from '../observe.ts';

/** @throws CodedError NC1224 when the command ends otherwise than it always does. */
export async function collectEvidence(
  ctx: Context,
  node: string,
  address: string,
  like: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const target = await loginTarget(ctx, address, like, signal);
  const answer = await ctx.ports.ssh({
    target,
    command: EVIDENCE_COMMAND,
    deadlineMs: EVIDENCE_MS,
    signal,
  });
  if (answer.exitCode !== 0)
    throw new CodedError('NC1224', `${node} at ${address} does not run a command to its end.`, [
      `exit ${answer.exitCode ?? 'by a signal'}`,
    ]);
  const evidence = readEvidence(answer.stdout);
  ctx.evidence.set(address, evidence);
  ctx.record({ kind: 'evidence', subject: node, facts: evidenceFacts(evidence) });
}
