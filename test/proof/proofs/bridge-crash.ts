import { crashWorld } from '../../agent-bridge/load/crash-world.ts';
import type { Survived } from '../../agent-bridge/load/crash-world.ts';
import { KILLS_ALL, allKills, cellOf } from '../../agent-bridge/load/kill-plan.ts';
import type { Kill } from '../../agent-bridge/load/kill-plan.ts';
import type { Proof } from '../proof.ts';

const TIMES = 5;
const RESTARTS = 200;
const RECOVERY_LIMIT_MS = 2_000;

type Died = { kill: Kill; survived: Survived };

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
const isWrong = ({ kill, survived }: Died): boolean =>
  survived.end !== (kill.ends === 'done' ? 'done' : 'supervisorLost') ||
  (kill.ends === 'done' && survived.runs === 0);

function row(name: string, died: readonly Died[]): (string | number)[] {
  const recoveries = died.flatMap(({ survived }) => survived.recoveryMs ?? []);
  const all = (of: (one: Died) => number) => sum(died.map(of));
  return [
    name,
    died.length,
    recoveries.length,
    died.filter(({ kill }) => kill.ends === 'lost').length,
    all((one) => Number(one.survived.isLost || isWrong(one))),
    all(({ survived }) => Number(survived.runs > 1)),
    all(({ survived }) => survived.orphans),
    recoveries.length === 0 ? '' : Math.max(...recoveries).toFixed(0),
  ];
}

export const proof: Proof = {
  name: 'bridge-crash',
  title: 'A bridge and its supervisors, killed at every point',
  about:
    'The real bundles run as processes. A module that is loaded into them (`test/agent-bridge/load/kill-points.cjs`) ends the bridge, a supervisor or both with SIGKILL before, in the middle of or after one call of the file system or of `spawn`, at each call of a job’s life that changes anything (`test/agent-bridge/load/kill-plan.ts`). Then a new bridge is started on the same data and asked about the job under the same key. A supervisor that is killed while it has the job’s claim loses the result: that job must end as failed, with its processes gone, and must not be run again.',
  async run() {
    const world = await crashWorld();
    try {
      const died: Died[] = [];
      for (const kill of allKills(TIMES)) died.push({ kill, survived: await world.survive(kill) });
      const account = await world.account();
      const cells = [...new Set(KILLS_ALL.map(cellOf))].sort();
      const total = row('all', died);
      const [, , restarts, , lost, twice, orphans, worstMs] = total.map(Number);
      const answersMs = died.flatMap(({ survived }) => survived.recoveryMs ?? []).sort((a, b) => a - b);
      const medianMs = answersMs[Math.floor(answersMs.length / 2)] ?? 0;
      const least = Math.min(...KILLS_ALL.map((kill) => died.filter((one) => one.kill === kill).length));
      return {
        claims: [
          { claim: `at least ${RESTARTS} restarts: ${restarts}`, holds: (restarts ?? 0) >= RESTARTS },
          {
            claim: `each of ${KILLS_ALL.length} moments at least ${TIMES} times: ${least}`,
            holds: least >= TIMES,
          },
          { claim: '0 jobs lost', holds: lost === 0 && account.accepted === account.keys },
          { claim: '0 jobs run twice', holds: twice === 0 && account.lateRuns === 0 },
          { claim: '0 orphans', holds: orphans === 0 },
          {
            claim: `answers within ${RECOVERY_LIMIT_MS} ms of its start: ${medianMs.toFixed(0)} ms in the middle, ${worstMs} ms at worst`,
            holds: (worstMs ?? Infinity) <= RECOVERY_LIMIT_MS,
          },
          {
            claim: `one end for each of ${account.accepted} jobs, and a whole log`,
            holds: account.faults === 0 && account.verify.code === 0,
          },
        ],
        tables: [
          {
            title: 'By point and victim',
            head: [
              'point, victim',
              'kills',
              'restarts',
              'result lost with its supervisor',
              'jobs lost or ended otherwise',
              'run twice',
              'orphans',
              'worst answer, ms',
            ],
            rows: [
              ...cells.map((cell) =>
                row(
                  cell.replace(' ', ', '),
                  died.filter(({ kill }) => cellOf(kill) === cell),
                ),
              ),
              total,
            ],
          },
        ],
      };
    } finally {
      await world.end();
    }
  },
};
