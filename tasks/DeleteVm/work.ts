/** The work of DeleteVm: see cycle/steps/delete-vm.ts. */
import { deleteVmActs } from '../../cycle/acts/steps.ts';
import { planDeleteVm } from '../../cycle/steps/delete-vm.ts';
import { oneOf } from '../inputs.ts';
import { proxies } from '../links/proxies.ts';
import { reservations } from '../links/reservations.ts';
import { zone } from '../links/zone.ts';
import type { Work } from '../run.ts';
import { runStep } from '../step-task.ts';

export const work: Work = {
  links: [proxies, zone, reservations],
  run(task) {
    const pair = { leaving: task.agent.required('oldNode'), staying: task.agent.required('newNode') };
    const mode = oneOf('mode', task.agent.required('mode'), ['delete', 'stop']);
    return runStep(task, {
      name: `DeleteVm ${mode} ${pair.leaving}`,
      parts: [
        'nowMs',
        'facts',
        'lock',
        'vms',
        'jobs',
        'intent',
        'knownHosts',
        'state',
        'kube',
        'etcd',
        'proxies',
        'ingress',
        'dns',
        'reservations',
      ],
      acts: deleteVmActs,
      focus: { ...pair, logins: 'none' },
      plan: (world, acts) => planDeleteVm(task.config, { ...pair, mode }, acts, world),
    });
  },
};
