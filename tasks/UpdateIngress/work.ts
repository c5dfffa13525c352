/** The work of UpdateIngress: see cycle/steps/update-ingress.ts. */
import { ingressActs } from '../../cycle/acts/steps.ts';
import { planUpdateIngress } from '../../cycle/steps/update-ingress.ts';
import { oneOf } from '../inputs.ts';
import { proxies } from '../links/proxies.ts';
import type { Work } from '../run.ts';
import { runStep } from '../step-task.ts';

export const work: Work = {
  links: [proxies],
  run(task) {
    const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
    const side = oneOf('side', task.agent.required('side'), ['in', 'out']);
    return runStep(task, {
      name: `UpdateIngress ${side}`,
      parts: ['nowMs', 'facts', 'lock', 'vms', 'intent', 'proxies', 'ingress', 'probes'],
      acts: ingressActs,
      focus: { ...pair, logins: 'none' },
      plan: (world, acts) => planUpdateIngress(task.config, { ...pair, side }, acts, world),
    });
  },
};
