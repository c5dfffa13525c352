/** The work of SwapDns: see cycle/steps/swap-dns.ts. */
import { swapDnsActs } from '../../cycle/acts/steps.ts';
import { planSwapDns } from '../../cycle/steps/swap-dns.ts';
import { oneOf } from '../inputs.ts';
import { zone } from '../links/zone.ts';
import type { Work } from '../run.ts';
import { runStep } from '../step-task.ts';

export const work: Work = {
  links: [zone],
  run(task) {
    const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
    const change = oneOf('change', task.agent.required('change'), ['swap', 'out']);
    return runStep(task, {
      name: `SwapDns ${change} ${pair.leaving}`,
      parts: ['nowMs', 'facts', 'lock', 'vms', 'intent', 'dns', 'probes'],
      acts: swapDnsActs,
      focus: { ...pair, logins: 'none' },
      plan: (world, acts) => planSwapDns(task.config, { ...pair, change }, acts, world),
    });
  },
};
