/** A table of cases on hosts on disk: all run in one start of the engine, each judged by a test of its own. */
import type { Outcome } from '../../agent-bridge/jobs/outcome.ts';
import { hostOnDisk, runCases } from './host.ts';
import type { Case, HostOnDisk, World } from './host.ts';
import { onPowerShell } from './suite.ts';

export interface Trap {
  title: string;
  script: Case['script'];
  /** Prepares the host and gives the input. */
  given(host: HostOnDisk): object;
  then(outcome: Outcome & { stderr: string }, host: HostOnDisk, before: World): void;
}

export const errorOf = (outcome: Outcome): string =>
  outcome.ok ? `ok ${JSON.stringify(outcome.result)}` : outcome.error;

/** `json`: the edition whose JSON the scripts get. */
export function onTraps(title: string, traps: readonly Trap[], json: '7' | '5.1' = '7'): void {
  onPowerShell(`${title} (JSON as PowerShell ${json} has it)`, (engine) => {
    const hosts: HostOnDisk[] = [];
    const worlds: World[] = [];
    let outcomes: (Outcome & { stderr: string })[] = [];
    before(async () => {
      const cases = traps.map(({ script, given }): Case => {
        const host = hostOnDisk(engine());
        hosts.push(host);
        const input = given(host);
        worlds.push(host.world());
        return { host, script, input: input as never };
      });
      outcomes = await runCases(engine(), cases, { NODE_CYCLE_TEST_JSON: json });
    });
    after(() => {
      for (const host of hosts) host.end();
    });
    for (const [index, { title: sentence, script, then }] of traps.entries()) {
      it(`${script} ${sentence}`, () => then(outcomes[index]!, hosts[index]!, worlds[index]!));
    }
  });
}
