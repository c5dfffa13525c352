/** The work of ProvisionNode: see cycle/steps/provision-node.ts. */
import { provisionActs } from '../../cycle/acts/steps.ts';
import { planProvision } from '../../cycle/steps/provision-node.ts';
import { nodes } from '../links/nodes.ts';
import { reservations } from '../links/reservations.ts';
import type { Work } from '../run.ts';
import { runStep } from '../step-task.ts';

export const work: Work = {
  links: [nodes, reservations],
  run(task) {
    const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
    return runStep(task, {
      name: `ProvisionNode ${pair.staying}`,
      parts: [
        'nowMs',
        'facts',
        'lock',
        'hosts',
        'vms',
        'jobs',
        'intent',
        'knownHosts',
        'ssh',
        'reservations',
        'evidence',
      ],
      acts: provisionActs,
      focus: { ...pair, logins: 'staying' },
      plan: (world, acts) => planProvision(task.config, pair, acts, world),
    });
  },
};
