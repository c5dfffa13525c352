import assert from 'node:assert/strict';
import type { Pipeline } from '../../lab/runner/pipeline.ts';
import type { TaskAction } from '../../lab/runner/steps.ts';
import { expand, GATES, manifest, pipelineFiles, TASK_NAMES } from './files.ts';

const FULL = {
  ...{ bridge: 'b', nodes: 'n', proxy: 'p', git: 'g', gitKey: 'k', gitops: 'o', gitopsKey: 'l', tsig: 't' },
  reservation: 'r',
};

const NONE = Object.fromEntries(Object.keys(FULL).map((name) => [name, '']));

/** Independent of the runner's own check, so that a hole in that one cannot hide a wrong input. */
function faultsOf({ task, majorVersion, inputs }: TaskAction): string[] {
  if (!TASK_NAMES.includes(task)) return [`${task}: there is no such task`];
  const { version, inputs: declared } = manifest(task);
  const faults = version.Major === majorVersion ? [] : [`${task}@${majorVersion}: it is version ${version.Major}`];
  for (const { name, value } of inputs) {
    const input = declared.find((candidate) => candidate.name === name);
    if (!input) faults.push(`${task}: no input '${name}'`);
    else if (value === '') faults.push(`${task}: '${name}' is given and empty`);
    else if (input.options && !(value in input.options)) faults.push(`${task}: '${name}' cannot be '${value}'`);
    else if (input.type === 'boolean' && !/^(true|false)$/i.test(value)) faults.push(`${task}: '${name}' is '${value}'`);
  }
  for (const { name, required, defaultValue } of declared) {
    const given = inputs.some((input) => input.name === name);
    if (required === true && defaultValue === undefined && !given) faults.push(`${task}: '${name}' is missing`);
  }
  return faults;
}

function actionsOf({ stages }: Pipeline): TaskAction[] {
  const steps = stages.flatMap(({ jobs }) => jobs.flatMap((job) => job.steps));
  return steps.flatMap(({ action }) => (action.kind === 'task' && action.task !== 'ManualValidation' ? [action] : []));
}

describe('the inputs that the pipeline gives to the tasks', () => {
  for (const gates of GATES) {
    it(`are inputs of their task.json, and none that is required lacks, with gates: ${gates}`, async () => {
      for (const connections of [FULL, { ...NONE, bridge: 'b', nodes: 'n' }]) {
        const { pipeline } = await expand({ gates, connections, maxNodes: 2 });
        const actions = actionsOf(pipeline);
        assert.deepEqual(actions.flatMap(faultsOf), []);
        assert.deepEqual(new Set(actions.map(({ task }) => task)), new Set(TASK_NAMES));
      }
    });
  }

  it('give each task every service connection that it can take', async () => {
    const { pipeline } = await expand({ connections: FULL, gates: 'none' });
    for (const { task, inputs } of actionsOf(pipeline)) {
      // These two use neither edge nor DNS: a lock to release, a VM to switch off.
      if (inputs.some(({ name, value }) => name === 'mode' && ['release', 'stop'].includes(value))) continue;
      const wanted = manifest(task).inputs.filter(({ type }) => type.startsWith('connectedService:'));
      const given = inputs.map(({ name }) => name);
      assert.deepEqual(wanted.filter(({ name }) => !given.includes(name)).map(({ name }) => name), [], task);
    }
  });

  it('are checked by a check that can fail', () => {
    const action = (task: string, inputs: Record<string, string>): TaskAction => ({
      ...{ kind: 'task', task, majorVersion: manifest('DeleteVm').version.Major },
      inputs: Object.entries(inputs).map(([name, value]) => ({ name, value, at: { file: 'f', line: 1, column: 1 } })),
    });
    const good = { config: 'c', oldNode: 'a', newNode: 'b', bridge: 'b', nodes: 'n' };
    assert.deepEqual(faultsOf(action('DeleteVm', good)), []);
    assert.match(faultsOf(action('DeleteVm', { ...good, vm: 'x' })).join(), /no input 'vm'/);
    assert.match(faultsOf(action('DeleteVm', { ...good, mode: 'burn' })).join(), /cannot be 'burn'/);
    assert.match(faultsOf(action('DeleteVm', { config: 'c' })).join(), /'oldNode' is missing.*'nodes' is missing/);
    assert.match(faultsOf({ ...action('DeleteVm', good), majorVersion: 9 }).join(), /DeleteVm@9/);
  });

  it('and conditions name only outputs that PlanCycle has', () => {
    const outputs = (manifest('PlanCycle').outputVariables ?? []).map(({ name }) => name);
    const text = Object.values(pipelineFiles()).join('\n');
    const named = [...text.matchAll(/outputs\['(?:plan\.)?plan\.(\w+)'\]/g)].map(([, name = '']) => name);
    assert.deepEqual(
      [...new Set(named)].sort(),
      ['due', 'hasControlPlane', 'hasEtcd', 'newNode', 'oldNode', 'oldNodeState'],
    );
    assert.deepEqual(named.filter((name) => !outputs.includes(name)), []);
  });
});
