/** The work of RkeRemoveRole: see cycle/steps/rke-remove-role.ts. */
import { removeRoleActs } from '../../cycle/acts/steps.ts';
import { planRemoveRole } from '../../cycle/steps/rke-remove-role.ts';
import { oneOf } from '../inputs.ts';
import { nodes } from '../links/nodes.ts';
import type { Work } from '../run.ts';
import { runStep } from '../step-task.ts';

export const work: Work = {
  links: [nodes],
  run(task) {
    const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
    const role = oneOf('role', task.agent.required('role'), ['controlplane', 'etcd', 'node']);
    return runStep(task, {
      name: `RkeRemoveRole ${role} ${pair.leaving}`,
      parts: ['nowMs', 'facts', 'lock', 'vms', 'intent', 'state', 'kube', 'etcd', 'apiservers', 'ssh'],
      acts: removeRoleActs,
      focus: { ...pair, logins: 'all' },
      plan: (world, acts) => planRemoveRole(task.config, { ...pair, role }, acts, world),
    });
  },
};
