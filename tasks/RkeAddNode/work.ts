/** The work of RkeAddNode: see cycle/steps/rke-add-node.ts. */
import { addNodeActs } from '../../cycle/acts/steps.ts';
import { planAddNode } from '../../cycle/steps/rke-add-node.ts';
import { nodes } from '../links/nodes.ts';
import type { Work } from '../run.ts';
import { runStep } from '../step-task.ts';

export const work: Work = {
  links: [nodes],
  run(task) {
    const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
    return runStep(task, {
      name: `RkeAddNode ${pair.staying}`,
      parts: [
        'nowMs',
        'facts',
        'lock',
        'vms',
        'intent',
        'state',
        'kube',
        'readyInARow',
        'etcd',
        'apiservers',
        'ssh',
      ],
      acts: addNodeActs,
      focus: { ...pair, logins: 'staying' },
      plan: (world, acts) => planAddNode(task.config, pair, acts, world),
    });
  },
};
