import assert from 'node:assert/strict';
import type { Job, Pipeline, Stage } from '../../lab/runner/pipeline.ts';
import type { TaskAction } from '../../lab/runner/steps.ts';
import { expand, GATED, GATES, STAGES } from './files.ts';

/** Tasks of each stage in order, with the input that tells two uses apart. */
const TASKS: Readonly<Record<string, readonly string[]>> = {
  plan: ['PlanCycle plan'],
  provision: ['ProvisionNode'],
  remove_dead: ['DeleteVm stop', 'SwapDns out', 'UpdateIngress out', 'RkeRemoveRole node'],
  join: ['RkeAddNode'],
  traffic: ['UpdateIngress in', 'SwapDns', 'UpdateIngress out'],
  controlplane: ['RkeRemoveRole controlplane'],
  etcd: ['RkeRemoveRole etcd'],
  node: ['RkeRemoveRole node'],
  delete: ['DeleteVm delete'],
  release: ['PlanCycle release'],
};

const kindOf = (stage: Stage): string => stage.name.replace(/_\d$/, '');
const actionsOf = (job: Job): TaskAction[] =>
  job.steps.flatMap(({ action }) => (action.kind === 'task' ? [action] : []));
const inputOf = (action: TaskAction, ...names: string[]): string | undefined =>
  action.inputs.find(({ name }) => names.includes(name))?.value;
const taskText = (action: TaskAction): string =>
  [action.task, inputOf(action, 'mode', 'change', 'side', 'role') ?? ''].join(' ').trim();

function checkSlots(pipeline: Pipeline, slots: number): void {
  const expected = Array.from({ length: slots }, (_, index) => STAGES.map((name) => `${name}_${index + 1}`)).flat();
  assert.deepEqual(
    pipeline.stages.map(({ name }) => name),
    [...expected, 'release'],
  );
  for (const stage of pipeline.stages) {
    const [, slot = ''] = /_(\d)$/.exec(stage.name) ?? [];
    const place = STAGES.indexOf(kindOf(stage) as never);
    const before = Number(slot) - 1;
    const wanted =
      stage.name === 'release'
        ? expected
        : place > 0
          ? STAGES.slice(0, place).map((name) => `${name}_${slot}`)
          : before > 0
            ? [`plan_${before}`, `delete_${before}`]
            : [];
    assert.deepEqual(stage.dependsOn, wanted, stage.name);
  }
}

function checkStage(stage: Stage, gates: string): void {
  const kind = kindOf(stage);
  const gated = GATED.includes(kind);
  assert.equal(stage.isSkippable, false);
  const work = stage.jobs.at(-1) as Job;
  const approve = stage.jobs.length > 1 ? stage.jobs[0] : undefined;
  assert.equal(work.kind, gated && gates === 'environment' ? 'deployment' : 'job');
  assert.equal(work.environment, gated && gates === 'environment' ? 'node-cycle' : undefined);
  assert.deepEqual(
    stage.jobs.map(({ name }) => name),
    gated && gates === 'manual' ? ['approve', kind] : [kind],
  );
  assert.deepEqual(work.dependsOn, approve ? ['approve'] : []);
  if (approve) checkApproval(approve);
  assert.deepEqual(actionsOf(work).map(taskText), TASKS[kind]);
  // The agent that holds rke's state, and no other.
  assert.equal(work.pool.name, 'pool-1');
  assert.deepEqual(
    work.pool.demands.map(({ name, value }) => `${name} ${value ?? ''}`),
    ['nodeCycle.cluster cluster-1'],
  );
  assert.deepEqual(work.steps[0]?.action, { kind: 'checkout', repository: 'self', fetchDepth: 1 });
  for (const step of work.steps.slice(1)) assert.equal(step.retryCount, 2, `${stage.name} ${step.displayName}`);
  for (const action of actionsOf(work)) {
    assert.equal(inputOf(action, 'config'), 'clusters/one.yml');
    if (action.task === 'PlanCycle') continue;
    assert.equal(inputOf(action, 'oldNode'), '$(oldNode)');
    assert.equal(inputOf(action, 'newNode'), '$(newNode)');
  }
}

function checkApproval(job: Job): void {
  assert.equal(job.pool.kind, 'server');
  const [step] = job.steps;
  assert.equal(job.steps.length, 1);
  assert.ok(step?.action.kind === 'task' && step.action.task === 'ManualValidation');
  assert.deepEqual(
    ['approvers', 'allowApproversToApproveTheirOwnRuns', 'onTimeout'].map((name) =>
      inputOf(step.action as TaskAction, name),
    ),
    ['admins', 'false', 'reject'],
  );
  assert.match(inputOf(step.action, 'instructions') ?? '', /\$\(oldNode\)/);
  assert.ok((step.timeoutMinutes ?? Infinity) < job.timeoutMinutes, 'the wait ends before the job does');
}

describe('the expansion of the cycle', () => {
  for (const gates of GATES) {
    for (const direction of ['forward', 'back']) {
      for (const dryRun of [false, true]) {
        for (const node of ['any', 'worker-3']) {
          const said = `gates: ${gates}, direction: ${direction}, dryRun: ${dryRun}, node: ${node}`;
          it(`has the design's stages with ${said}, for 1 to 5 nodes`, async () => {
            for (let maxNodes = 1; maxNodes <= 5; maxNodes += 1) {
              const { pipeline } = await expand({
                ...{ gates, direction, dryRun, node, maxNodes, because: 'image', config: 'clusters/one.yml' },
                ...{ pool: 'pool-1', cluster: 'cluster-1', approvers: 'admins' },
              });
              const one = direction === 'back' || dryRun || node !== 'any';
              checkSlots(pipeline, one ? 1 : maxNodes);
              for (const stage of pipeline.stages) checkStage(stage, gates);
              for (const stage of pipeline.stages.filter((candidate) => kindOf(candidate) === 'plan')) {
                const [action] = actionsOf(stage.jobs[0] as Job);
                assert.ok(action);
                assert.deepEqual(
                  ['node', 'because', 'direction', 'dryRun'].map((name) => inputOf(action, name)),
                  [node, 'image', direction, dryRun ? 'True' : 'False'],
                );
              }
            }
          });
        }
      }
    }
  }

  it('starts by itself only at night, also when nothing was pushed', async () => {
    const { pipeline, plain } = await expand();
    assert.deepEqual(pipeline.schedules, [{ cron: '0 1 * * *', branches: ['main'], always: true }]);
    const { trigger, pr } = plain as Record<string, unknown>;
    assert.deepEqual([trigger, pr], ['none', 'none']);
  });

  it('takes one node, due for any reason, behind approvals of the environment, unless somebody says otherwise', async () => {
    const { pipeline } = await expand();
    assert.equal(pipeline.stages.length, STAGES.length + 1);
    const [plan] = actionsOf(pipeline.stages[0]?.jobs[0] as Job);
    assert.ok(plan);
    assert.deepEqual(
      ['config', 'node', 'because', 'direction', 'dryRun'].map((name) => inputOf(plan, name)),
      ['node-cycle.yml', 'any', 'any', 'forward', 'False'],
    );
    const gates = pipeline.stages.flatMap(({ jobs }) => jobs.flatMap(({ environment }) => environment ?? []));
    assert.deepEqual(gates, GATED.map(() => 'node-cycle'));
  });

  it('gives a service connection that the cluster lacks to no task', async () => {
    const none = { proxy: '', git: '', gitKey: '', gitops: '', gitopsKey: '', tsig: '', reservation: '' };
    const connections = { bridge: 'b', nodes: 'n', ...none };
    const names = async (given: Record<string, string>): Promise<Set<string>> => {
      const { pipeline } = await expand({ connections: given, gates: 'none' });
      const actions = pipeline.stages.flatMap(({ jobs }) => jobs.flatMap(actionsOf));
      return new Set(actions.flatMap(({ inputs }) => inputs.map(({ name }) => name)));
    };
    const optional = Object.keys(none);
    const without = await names(connections);
    assert.deepEqual(optional.filter((name) => without.has(name)), []);
    assert.ok(without.has('bridge') && without.has('nodes'));
    const full = await names({ ...connections, ...Object.fromEntries(optional.map((name) => [name, 'c'])) });
    assert.deepEqual(optional.filter((name) => full.has(name)), optional);
  });

  it('refuses manual gates that nobody in particular may pass', async () => {
    await assert.rejects(expand({ gates: 'manual', approvers: '' }), /NC9104.*manualGatesNeedTheParameterApprovers/);
    await expand({ gates: 'environment', approvers: '' });
  });

  it('refuses parameters outside of what it knows', async () => {
    await assert.rejects(expand({ maxNodes: 6 }), /NC9104/);
    await assert.rejects(expand({ gates: 'off' }), /NC9104/);
    await assert.rejects(expand({ direction: 'sideways' }), /NC9104/);
    await assert.rejects(expand({ because: 'bored' }), /NC9104/);
  });
});
