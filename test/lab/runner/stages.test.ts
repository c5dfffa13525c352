import assert from 'node:assert/strict';
import type { ApprovalAnswer } from '../../../lab/runner/run.ts';
import { createWorld, stageOf, type World } from './stage-world.ts';

const FAIL = 'process.exit(1)';

describe('stages of a run', () => {
  let world: World;
  before(() => {
    world = createWorld();
  });
  after(() => world.end());

  const stages = (...parts: string[]): string => `stages:${parts.join('')}`;
  const ran = async (yaml: string): Promise<string> => (await world.run(yaml)).stages;

  it('stop after a failure, but for those that run always or after a failure', async () => {
    const yaml = stages(
      stageOf('A', FAIL),
      stageOf('B', ''),
      stageOf('C', '', 'dependsOn: [A, B]\ncondition: always()'),
      stageOf('D', '', 'dependsOn: A\ncondition: failed()'),
      stageOf('E', '', 'dependsOn: A\ncondition: succeededOrFailed()'),
    );
    const { result, stages: became } = await world.run(yaml);
    assert.equal(became, 'A=failed B=skipped C=succeeded D=succeeded E=succeeded');
    assert.equal(result.outcome, 'failed');
  });

  it('do not take a skipped dependency as succeeded, also further up', async () => {
    const yaml = stages(
      stageOf('A', '', 'condition: false'),
      stageOf('B', '', "condition: eq(dependencies.A.result, 'Skipped')"),
      stageOf('C', ''),
      stageOf('D', '', "dependsOn: B\ncondition: succeeded('B')"),
    );
    assert.equal(await ran(yaml), 'A=skipped B=succeeded C=skipped D=succeeded');
  });

  it('that a person skips count as skipped', async () => {
    const { stages: became, result } = await world.run(stages(stageOf('A', ''), stageOf('B', '')), {
      skipStages: ['A'],
    });
    assert.equal(became, 'A=skipped B=skipped');
    assert.equal(result.stages[0]?.cause, 'skippedByHand');
  });

  it('hand outputs on to conditions of stages and jobs, and to variables', async () => {
    const { stages: became, lines } = await world.run(`
stages:${stageOf('A', "set('outNode', 'worker-3'); set('outDue', 'true')")}
- stage: B
  condition: and(succeeded(), eq(dependencies.A.outputs['J.S.outDue'], true))
  jobs:
  - job: K
    variables:
      node: $[ stageDependencies.A.J.outputs['S.outNode'] ]
      where: node $(node)
    steps:
    - checkout: none
    - task: Play@1
      name: T
      inputs: { code: "say('got $(node), $(where), ' + process.env.NODE); set('outNode', '$(node)-b')" }
    - task: Play@1
      condition: eq(variables['T.outNode'], 'worker-3-b')
      inputs: { code: "say('same job $(T.outNode)')" }
  - job: L
    dependsOn: K
    condition: startsWith(dependencies.K.outputs['T.outNode'], 'worker')
    variables: { again: "$[ dependencies.K.outputs['T.outNode'] ]" }
    steps:
    - checkout: none
    - script: echo next job $(again) $(undefined)
- stage: C
  dependsOn: A
  condition: eq(dependencies.A.outputs['J.S.outDue'], 'no')
  jobs: [{ job: X, steps: [{ script: echo }] }]
`);
    assert.equal(became, 'A=succeeded B=succeeded C=skipped');
    assert.ok(lines.includes('got worker-3, node worker-3, worker-3'), lines.join('\n'));
    assert.ok(lines.includes('same job worker-3-b'));
    // Bash runs $(undefined) as a command: the macro stayed as it was written.
    assert.ok(lines.some((line) => line.includes('undefined: command not found')));
  });

  it("name a deployment job twice in its outputs, and don't check out for it", async () => {
    const { stages: became, lines } = await world.run(`
stages:
- stage: A
  jobs:
  - deployment: D
    environment: nodes
    strategy:
      runOnce:
        deploy:
          steps:
          - task: Play@1
            name: S
            inputs: { code: "set('outX', 'one'); say('files ' + require('fs').readdirSync('.').length)" }
  - job: Again
    dependsOn: D
    variables: { x: "$[ dependencies.D.outputs['D.S.outX'] ]" }
    steps:
    - checkout: none
    - task: Play@1
      name: R
      inputs: { code: "set('outX', '$(x)')" }
- stage: B
  condition: eq(dependencies.A.outputs['Again.R.outX'], 'one')
  jobs:
  - job: K
    variables: { x: "$[ stageDependencies.A.D.outputs['D.S.outX'] ]" }
    steps: [{ checkout: none }, { script: "echo deployed $(x)" }]
`);
    assert.equal(became, 'A=succeeded B=succeeded');
    assert.ok(lines.includes('files 0'));
    assert.ok(lines.includes('deployed one'));
  });

  it('record whether a person may skip them', async () => {
    const { result } = await world.run(stages(stageOf('A', ''), stageOf('B', '', 'isSkippable: false')));
    assert.deepEqual(
      result.stages.map((stage) => stage.isSkippable),
      [true, false],
    );
  });

  it('fail when no agent meets the demands', async () => {
    const yaml = stages(
      stageOf('A', '', 'pool: { name: nodes, demands: [cluster -equals one] }'),
      stageOf('B', '', 'pool: { name: nodes, demands: [cluster -equals two] }'),
    );
    const { result, stages: became } = await world.run(yaml);
    assert.equal(became, 'A=succeeded B=failed');
    assert.equal(result.stages[1]?.cause, 'noAgent');
  });

  it('end with the job that runs out of time', async () => {
    const yaml = `
stages:
- stage: A
  jobs:
  - job: J
    timeoutInMinutes: 1
    steps:
    - checkout: none
    - task: Play@1
      name: S
      inputs: { code: "setTimeout(() => 0, 60000)" }
    - task: Play@1
      name: Later
    - task: Play@1
      name: Save
      condition: always()
${stageOf('B', '', 'condition: always()').slice(1)}`;
    const { result } = await world.run(yaml);
    assert.equal(result.outcome, 'failed');
    const [a, b] = result.stages;
    assert.deepEqual([a?.result, a?.cause, b?.result], ['canceled', 'timedOut', 'succeeded']);
    const steps = a?.jobs[0]?.steps.map((step) => `${step.name}=${step.result}`);
    assert.deepEqual(steps, ['Checkout none=succeeded', 'S=canceled', 'Later=skipped', 'Save=succeeded']);
  });

  it('forgive a step that may fail', async () => {
    const yaml = `steps:\n- checkout: none\n- task: Play@1\n  continueOnError: true\n  inputs: { code: ${FAIL} }\n- script: echo on\n`;
    const { result } = await world.run(yaml);
    assert.equal(result.outcome, 'succeededWithIssues');
  });
});

/** The shape of the real pipeline: plan, join, then a gate for each role, at last the release. */
function gated(kind: 'environment' | 'manual', roles: string): string {
  const plan = ['controlplane', 'etcd', 'worker']
    .map((role) => `set('out_${role}', '${roles.includes(role) ? 'true' : 'false'}');`)
    .join(' ');
  const gates = ['controlplane', 'etcd', 'node'].map((role, index, all) => {
    const before = all.slice(0, index);
    const passed = before.map(
      (name) =>
        `or(in(dependencies.${name}.result, 'Succeeded', 'SucceededWithIssues'), eq(dependencies.Plan.outputs['J.S.out_${name}'], 'false'))`,
    );
    const own = role === 'node' ? [] : [`eq(dependencies.Plan.outputs['J.S.out_${role}'], 'true')`];
    const all_ = ["succeeded('Plan', 'Join')", ...passed, ...own];
    const condition = all_.length > 1 ? `and(${all_.join(', ')})` : all_[0];
    const work = `\n      - task: Play@1\n        name: W\n        inputs: { code: "say('removed ${role}')" }\n`;
    const jobs =
      kind === 'environment'
        ? `  - deployment: Remove\n    environment: gate-${role}\n    strategy: { runOnce: { deploy: { steps: [{ task: Play@1, inputs: { code: "say('removed ${role}')" } }] } } }\n`
        : `  - job: Gate
    pool: server
    timeoutInMinutes: 20
    steps:
    - task: ManualValidation@1
      timeoutInMinutes: 10
      inputs: { notifyUsers: '', instructions: Remove ${role} from $(node)?, onTimeout: reject }
  - job: Remove
    dependsOn: Gate
    steps:
    - checkout: none${work.replace(/^ {2}/gm, '')}`;
    return `
- stage: ${role}
  isSkippable: false
  dependsOn: [Plan, Join${before.map((name) => `, ${name}`).join('')}]
  condition: ${condition ?? ''}
  variables: { node: old-1 }
  jobs:
${jobs}`;
  });
  return `stages:${stageOf('Plan', plan)}${stageOf('Join', '')}${gates.join('')}${stageOf(
    'Release',
    "say('released')",
    'dependsOn: [Plan, Join, controlplane, etcd, node]\ncondition: always()',
  )}`;
}

describe('gates', () => {
  let world: World;
  before(() => {
    world = createWorld();
  });
  after(() => world.end());

  const SETS = [
    ...['worker', 'etcd', 'controlplane', 'etcd worker', 'controlplane worker'],
    ...['controlplane etcd', 'controlplane etcd worker'],
  ];
  for (const kind of ['environment', 'manual'] as const) {
    for (const roles of SETS) {
      const gates = ['controlplane', 'etcd', 'node'].filter(
        (role) => role === 'node' || roles.includes(role),
      );

      it(`${kind}: a node with ${roles} passes ${gates.join(', ')}`, async () => {
        const asked: string[] = [];
        const { result, lines } = await world.run(gated(kind, roles), {
          approve: (request) => {
            assert.equal(request.kind, kind);
            asked.push(request.stage);
            return Promise.resolve('approve');
          },
        });
        assert.deepEqual(asked, gates);
        assert.deepEqual(
          lines.filter((line) => line.startsWith('removed')),
          gates.map((gate) => `removed ${gate}`),
        );
        assert.equal(result.outcome, 'succeeded');
      });
    }

    for (const roles of ['worker', 'controlplane etcd worker']) {
      const gates = ['controlplane', 'etcd', 'node'].filter(
        (role) => role === 'node' || roles.includes(role),
      );
      for (const [index, gate] of gates.entries()) {
        for (const what of ['reject', 'timeout', 'cancel'] as const) {
          it(`${kind}: ${what} at ${gate} of a node with ${roles} lets nothing after it run but the release`, async () => {
            const person = new AbortController();
            const approve = (stage: string): Promise<ApprovalAnswer> => {
              if (stage !== gate) return Promise.resolve('approve');
              if (what !== 'cancel') return Promise.resolve(what);
              setTimeout(() => person.abort(), 20);
              return new Promise(() => undefined);
            };
            const { result, lines } = await world.run(gated(kind, roles), {
              approve: ({ stage }) => approve(stage),
              signal: person.signal,
            });
            const expected = gates.slice(0, index).map((before) => `removed ${before}`);
            assert.deepEqual(
              lines.filter((line) => line.startsWith('removed')),
              expected,
            );
            assert.ok(lines.includes('released'));
            const stage = result.stages.find(({ name }) => name === gate);
            const environment = kind === 'environment';
            const became = {
              reject: ['failed', 'rejected'],
              timeout: [environment ? 'skipped' : 'failed', 'approvalTimedOut'],
              cancel: ['canceled', 'canceled'],
            }[what];
            assert.deepEqual([stage?.result, stage?.cause], became);
            assert.equal(result.outcome, what === 'cancel' ? 'canceled' : 'failed');
          });
        }
      }
    }
  }

  it('keep their deadline even when nobody answers', async () => {
    const { result } = await world.run(gated('manual', 'worker'), {
      minuteMs: 20,
      approve: () => new Promise(() => undefined),
    });
    assert.equal(result.stages.find(({ name }) => name === 'node')?.result, 'failed');
  });

  it('show what they ask, with the variables of the job', async () => {
    const texts: string[] = [];
    await world.run(gated('manual', 'worker'), {
      approve: (request) => {
        texts.push(`${request.description} ${request.deadlineMs / 600}`);
        return Promise.resolve('approve');
      },
    });
    assert.deepEqual(texts, ['Remove node from old-1? 10']);
  });
});
