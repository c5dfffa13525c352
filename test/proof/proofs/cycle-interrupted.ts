import { ALL, interruptedCycle } from '../../lab/cycle/interrupted.ts';
import type { Proof } from '../proof.ts';

const PAIR = 'home-n1 by home-n6';
/** The agent sends SIGTERM 7.5 s after SIGINT. */
const AT_LAST_MS = 7_000;

export const proof: Proof = {
  name: 'cycle-interrupted',
  title: 'A cycle whose every task is cancelled and killed in its middle',
  about:
    'The lab: the real tasks, bridge, proxy, DNS and git, and the modelled hosts and cluster. Each run is interrupted in the middle of one task: killed with SIGKILL, or cancelled as the agent does it. Before the next run the state directory is emptied, as on a new agent. Requests go on all the time (`test/lab/cycle/interrupted.ts`).',
  async run() {
    const { runs, last, dueAfterwards, traffic, mostVms, steadyVms, audits } = await interruptedCycle(ALL);
    const cancelled = runs.filter(({ how }) => how === 'cancelled');
    return {
      claims: [
        {
          claim: 'each run that was interrupted keeps the pair, and none succeeds',
          holds: runs.every(
            ({ task, outcome, pair }) => outcome !== 'succeeded' && (task === 'PlanCycle' || pair === PAIR),
          ),
        },
        {
          claim: `a task that is cancelled ends within ${AT_LAST_MS / 1000} s, with its code`,
          holds: cancelled.every(
            ({ endedAfterMs, codes }) => (endedAfterMs ?? Infinity) < AT_LAST_MS && codes.includes('NC1012'),
          ),
        },
        {
          claim: 'the next run finishes the cycle with the same pair, and nothing of the old node is left',
          holds: last.outcome === 'succeeded' && last.pair === PAIR && last.leftOvers.length === 0,
        },
        { claim: 'the run after that finds nothing to do', holds: dueAfterwards === 'false' },
        { claim: 'no request fails', holds: traffic.failures.length + traffic.requests.failed === 0 },
        { claim: 'never more than one VM above steady', holds: mostVms === steadyVms + 1 },
        {
          claim: 'the log of the bridge is whole',
          holds: audits.every((said) => /^\d+ entries in \d+ file\(s\) are whole/.test(said)),
        },
      ],
      tables: [
        {
          title: 'Runs',
          head: ['task', 'how', 'outcome', 'ended after, ms', 'codes in its log'],
          rows: runs.map(({ task, how, outcome, endedAfterMs, codes }) => [
            ...[task, how, outcome, endedAfterMs === undefined ? '–' : Math.round(endedAfterMs)],
            codes.join(' '),
          ]),
        },
        {
          title: 'Requests',
          head: ['requests', 'failed'],
          rows: [[traffic.requests.total, traffic.requests.failed]],
        },
      ],
    };
  },
};
