/** The end of this process: its exit code, and an error in words. */
import { CodedError } from '../../ports/errors.ts';

/** Runs to the end of the process. */
export function endWith(work: Promise<number>): void {
  work.then(
    (code) => process.exit(code),
    (error: unknown) => {
      const coded = error instanceof CodedError;
      process.stderr.write(
        `${coded ? error.message : String(error instanceof Error ? error.stack : error)}\n`,
      );
      if (coded) for (const line of [...error.evidence, error.remedy]) process.stderr.write(`  ${line}\n`);
      process.exit(1);
    },
  );
}
