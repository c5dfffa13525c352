/** Service connections of one input: one or several, from the YAML through the agent's environment into the task. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import * as library from 'azure-pipelines-task-lib/internal.js';
import { taskEnvironment } from '../../lab/runner/task-environment.ts';
import { resolveInputs, type Endpoint } from '../../lab/runner/task-inputs.ts';
import type { TaskInput, TaskManifest } from '../../lab/runner/task-manifest.ts';
import { createVariables } from '../../lab/runner/variables.ts';
import { CodedError } from '../../ports/errors.ts';
import { azureAgent } from '../../tasks/azure.ts';
import { mustConnectAll } from '../../tasks/connections.ts';
import { ROOT, filesBelow, textOf } from '../repository/tree.ts';

const AT = { file: 'cycle.yml', line: 1, column: 1 };
const endpoint = (id: string, host: string): Endpoint => ({
  ...{ id, url: `https://${host}:8443`, scheme: 'None' },
  ...{ authParameters: { certificate: `cert of ${host}` }, data: { serverFingerprint: host } },
});
const ENDPOINTS = { 'Bridge one': endpoint('0a-1', 'hv1'), 'bridge-2': endpoint('0a-2', 'hv2') };
const inputsOf = (name: string) =>
  (JSON.parse(textOf(`tasks/${name}/task.json`)) as { inputs: TaskInput[] }).inputs;
const bridgeOf = (name: string) => inputsOf(name).find((input) => input.name === 'bridge');

function resolved(value: string, input: TaskInput | undefined = bridgeOf('PlanCycle')) {
  const manifest: TaskManifest = {
    ...{ name: 'PlanCycle', majorVersion: 0, bundle: '', folder: join(ROOT, 'tasks') },
    ...{ inputs: [input ?? assert.fail()], settableVariables: [], minimumAgentVersion: undefined },
  };
  const action = { kind: 'task' as const, task: 'PlanCycle', majorVersion: 0 };
  const inputs = [{ name: input?.name ?? '', value, at: AT }];
  return resolveInputs(manifest, { ...action, inputs }, ENDPOINTS, (text) => text, AT);
}

describe('The bridges of a task', () => {
  const before = { ...process.env };
  afterEach(() => {
    process.env = { ...before };
  });
  function agentGiven(value: string) {
    Object.assign(process.env, taskEnvironment(resolved(value), createVariables(), new Map(), {}));
    library._loadData();
    return azureAgent();
  }

  it('are several service connections in one input of every task, by name and between commas', () => {
    const tasks = filesBelow('tasks').filter((path) => path.endsWith('/task.json'));
    assert.ok(tasks.length >= 7);
    for (const path of tasks)
      assert.deepEqual(bridgeOf(path.split('/')[1] ?? '')?.properties, {
        EditableOptions: 'False',
        MultiSelectFlatList: 'True',
      });
    assert.equal(resolved('bridge one,  bridge-2').values['bridge'], '0a-1,0a-2');
  });

  it('reach the task with their own URLs and certificates, in the order of the input', () => {
    const found = mustConnectAll(agentGiven('bridge-2, Bridge one'), 'bridge');
    assert.deepEqual(
      found.map((one) => [one.url, one.secret('certificate')?.reveal(), one.data('serverFingerprint')]),
      [
        ['https://hv2:8443', 'cert of hv2', 'hv2'],
        ['https://hv1:8443', 'cert of hv1', 'hv1'],
      ],
    );
  });

  it('are one when one is named, and each counts once', () => {
    assert.deepEqual(
      agentGiven('bridge-2')
        .connections('bridge')
        .map(({ url }) => url),
      ['https://hv2:8443'],
    );
    assert.equal(agentGiven('bridge-2, bridge-2').connections('bridge').length, 1);
  });

  it('are refused when one is not there, or none is named', () => {
    assert.throws(() => resolved('bridge-2, other'), /NC9105.*no service connection 'other' for 'bridge'/);
    process.env['INPUT_BRIDGE'] = '0a-9';
    library._loadData();
    assert.throws(() => mustConnectAll(azureAgent(), 'bridge'), coded('NC5003'));
    process.env['INPUT_BRIDGE'] = ' , ';
    library._loadData();
    assert.throws(() => mustConnectAll(azureAgent(), 'bridge'), coded('NC5003'));
  });

  it('are no list in an input that takes one', () => {
    const nodes = inputsOf('PlanCycle').find(({ name }) => name === 'nodes');
    assert.throws(
      () => resolved('bridge-2, Bridge one', nodes),
      /no service connection 'bridge-2, Bridge one'/,
    );
  });
});

const coded = (code: string) => (error: unknown) => error instanceof CodedError && error.code === code;
