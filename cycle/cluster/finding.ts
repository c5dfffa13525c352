/** What a check of the cluster found wrong: data that a step turns into a refusal. */
import type { ErrorCode } from '../../ports/errors.ts';

export interface Finding {
  code: ErrorCode;
  /** What is wrong, with the case's own names and numbers. */
  message: string;
  /** Names and numbers that show it, one a line. */
  evidence: string[];
}

export function finding(code: ErrorCode, message: string, evidence: readonly string[] = []): Finding {
  return { code, message, evidence: [...evidence] };
}
