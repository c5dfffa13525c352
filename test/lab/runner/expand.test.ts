import assert from 'node:assert/strict';
import { expandPipeline } from '../../../lab/runner/run.ts';
import type { Plain } from '../../../lab/runner/tree.ts';

async function expand(files: Record<string, string>, parameters: Record<string, Plain> = {}): Promise<Plain> {
  const expanded = await expandPipeline({
    readPipelineFile: (path) => Promise.resolve(files[path]),
    pipelinePath: Object.keys(files)[0] ?? '',
    parameters,
  });
  return expanded.plain;
}

const CYCLE = `
trigger: none
pr: none
parameters:
- { name: maxNodes, type: number, default: 2, values: [1, 2, 3] }
- { name: gates, type: string, default: manual, values: [manual, none] }
- { name: dryRun, type: boolean, default: false }
- name: roles
  type: object
  default:
  - { name: etcd, gate: true }
  - { name: worker, gate: false }
variables:
  prefix: Slot
stages:
- \${{ each slot in split }}:
  - stage: never
`;

const SLOTS: Record<string, string> = {
  'pipelines/cycle.yml': `
parameters:
- { name: maxNodes, type: number, default: 2, values: [1, 2, 3] }
- { name: gates, type: string, default: manual, values: [manual, none] }
- { name: dryRun, type: boolean, default: false }
- name: roles
  type: object
  default:
  - { name: etcd, gate: true }
  - { name: worker, gate: false }
variables:
  prefix: Slot
stages:
- template: templates/slot.yml
  parameters: { index: 1, gates: '\${{ parameters.gates }}', roles: '\${{ parameters.roles }}' }
- \${{ if ge(parameters.maxNodes, 2) }}:
  - template: /pipelines/templates/slot.yml@self
    parameters:
      index: 2
      gates: \${{ parameters.gates }}
      roles: \${{ parameters.roles }}
- \${{ if parameters.dryRun }}:
  - stage: Dry
    jobs:
    - job: D
      steps: [{ script: echo dry }]
- \${{ elseif eq(parameters.gates, 'none') }}:
  - stage: Ungated
    jobs:
    - job: D
      steps: [{ script: echo ungated }]
- \${{ else }}:
  - stage: Real
    jobs:
    - job: D
      steps: [{ script: echo real }]
`,
  'pipelines/templates/slot.yml': `
parameters:
- { name: index, type: number }
- { name: gates, type: string }
- { name: roles, type: object, default: [] }
stages:
- stage: \${{ variables.prefix }}\${{ parameters.index }}
  \${{ if gt(parameters.index, 1) }}:
    dependsOn:
    - Slot\${{ iif(eq(parameters.index, 2), '1', 'X') }}
  \${{ else }}:
    dependsOn: []
  jobs:
  - \${{ each role in parameters.roles }}:
    - job: Remove_\${{ role.name }}
      \${{ if and(eq(role.gate, true), ne(parameters.gates, 'none')) }}:
        timeoutInMinutes: 120
      steps:
      - script: echo \${{ role.name }} \${{ upper(parameters.gates) }}
`,
};

describe('the expansion of a pipeline', () => {
  const stages = (plain: Plain): { stage: string; dependsOn?: string[]; jobs: Record<string, unknown>[] }[] =>
    (plain as { stages: never }).stages;

  it('takes in templates with typed parameters, by slots', async () => {
    const expanded = stages(await expand(SLOTS));
    assert.deepEqual(
      expanded.map((stage) => stage.stage),
      ['Slot1', 'Slot2', 'Real'],
    );
    assert.deepEqual(expanded[0]?.dependsOn, []);
    assert.deepEqual(expanded[1]?.dependsOn, ['Slot1']);
    assert.deepEqual(expanded[0].jobs, [
      { job: 'Remove_etcd', timeoutInMinutes: '120', steps: [{ script: 'echo etcd MANUAL' }] },
      { job: 'Remove_worker', steps: [{ script: 'echo worker MANUAL' }] },
    ]);
  });

  it('follows if, elseif and else by the parameters of the run', async () => {
    const names = async (parameters: Record<string, Plain>): Promise<string[]> =>
      stages(await expand(SLOTS, parameters)).map((stage) => stage.stage);
    assert.deepEqual(await names({ maxNodes: 1, dryRun: true }), ['Slot1', 'Dry']);
    assert.deepEqual(await names({ maxNodes: '1', gates: 'none' }), ['Slot1', 'Ungated']);
  });

  it('loops over a mapping and inserts mappings', async () => {
    const plain = await expand({
      'p.yml': `
parameters:
- name: env
  type: object
  default: { one: a, two: b }
steps:
- script: echo
  env:
    \${{ each pair in parameters.env }}:
      X_\${{ pair.key }}: \${{ pair.value }}
    \${{ insert }}: \${{ parameters.env }}
`,
    });
    assert.deepEqual((plain as { steps: { env: unknown }[] }).steps[0]?.env, {
      X_one: 'a',
      X_two: 'b',
      one: 'a',
      two: 'b',
    });
  });

  it('inserts lists of steps that a template is given', async () => {
    const plain = await expand({
      'p.yml': `
steps:
- template: t.yml
  parameters: { before: [{ script: echo before }], count: 1.50 }
`,
      't.yml': `
parameters:
- { name: before, type: stepList, default: [] }
- { name: count, type: number }
- { name: loud, type: boolean, default: true }
steps:
- \${{ parameters.before }}
- \${{ each step in parameters.before }}:
  - \${{ step }}
- script: echo \${{ parameters.count }} \${{ parameters.loud }}
`,
    });
    assert.deepEqual((plain as { steps: unknown }).steps, [
      { script: 'echo before' },
      { script: 'echo before' },
      { script: 'echo 1.5 True' },
    ]);
  });

  it('names the line of a loop over something that does not exist', async () => {
    await assert.rejects(expand({ 'p.yml': CYCLE }), /NC9103.*p\.yml:16:3.*'split' is not known/);
  });

  it('names the values that a parameter may have', async () => {
    await assert.rejects(
      expand(SLOTS, { maxNodes: 9 }),
      /NC9104.*'maxNodes' expects one of '1', '2', '3', found '9'/,
    );
    await assert.rejects(expand(SLOTS, { nodes: 1 }), /no parameter 'nodes'; declared: maxNodes/);
    await assert.rejects(expand(SLOTS, { dryRun: 'yes' }), /'dryRun' expects true or false, found 'yes'/);
    await assert.rejects(expand(SLOTS, { maxNodes: 'two' }), /expects a number, found 'two'/);
  });
});
