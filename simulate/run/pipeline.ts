/**
 * One run of the pipeline: the stages of pipelines/templates/cycle-one.yml in their order, with the conditions under
 * which each has something to do, the tries that a task has, and the release at the end. A test holds the list
 * against the template.
 */
import type { TaskName } from './task.ts';

export interface StageTask {
  task: TaskName;
  inputs: Record<string, string>;
}

export interface Stage {
  name: string;
  gate: boolean;
  /** What of PlanCycle's outputs asks for it. */
  when(plan: Record<string, string>): boolean;
  tasks: readonly StageTask[];
}

const alive = (plan: Record<string, string>) => plan['oldNodeState'] === 'alive';
const always = () => true;

export const STAGES: readonly Stage[] = [
  { name: 'provision', gate: false, when: always, tasks: [{ task: 'ProvisionNode', inputs: {} }] },
  {
    name: 'remove_dead',
    gate: true,
    when: (plan) => !alive(plan),
    tasks: [
      { task: 'DeleteVm', inputs: { mode: 'stop' } },
      { task: 'SwapDns', inputs: { change: 'out' } },
      { task: 'UpdateIngress', inputs: { side: 'out' } },
      { task: 'RkeRemoveRole', inputs: { role: 'node' } },
    ],
  },
  { name: 'join', gate: false, when: always, tasks: [{ task: 'RkeAddNode', inputs: {} }] },
  {
    name: 'traffic',
    gate: false,
    when: always,
    tasks: [
      { task: 'UpdateIngress', inputs: { side: 'in' } },
      { task: 'SwapDns', inputs: {} },
      { task: 'UpdateIngress', inputs: { side: 'out' } },
    ],
  },
  {
    name: 'controlplane',
    gate: true,
    when: (plan) => plan['hasControlPlane'] === 'true',
    tasks: [{ task: 'RkeRemoveRole', inputs: { role: 'controlplane' } }],
  },
  {
    name: 'etcd',
    gate: true,
    when: (plan) => plan['hasEtcd'] === 'true',
    tasks: [{ task: 'RkeRemoveRole', inputs: { role: 'etcd' } }],
  },
  { name: 'node', gate: true, when: always, tasks: [{ task: 'RkeRemoveRole', inputs: { role: 'node' } }] },
  { name: 'delete', gate: false, when: always, tasks: [{ task: 'DeleteVm', inputs: { mode: 'delete' } }] },
];

/** `retryCountOnTaskFailure` of every task. */
export const RETRIES = 2;
/** The service waits longer from try to try: 1, 4 and 9 s. */
export const RETRY_PAUSE_MS = [1_000, 4_000] as const;
