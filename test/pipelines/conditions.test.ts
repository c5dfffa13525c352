/**
 * Every way through a cycle: each stage that starts ends in each way, and the conditions of the files decide what
 * starts next. Beside them stands the rule in its shortest form; the two must agree everywhere.
 */
import assert from 'node:assert/strict';
import { holds, stageContext, variableNames, type StageOutcome } from '../../lab/runner/condition.ts';
import type { Job, Stage } from '../../lab/runner/pipeline.ts';
import type { Result } from '../../lab/runner/results.ts';
import { createVariables } from '../../lab/runner/variables.ts';
import { expand, STAGES } from './files.ts';

interface Planned {
  due: boolean;
  dead: boolean;
  controlplane: boolean;
  etcd: boolean;
}

const NOTHING: Planned = { due: false, dead: false, controlplane: false, etcd: false };
const YES_NO = [false, true];
const PLANS: readonly Planned[] = [
  NOTHING,
  ...YES_NO.flatMap((controlplane) => YES_NO.map((etcd) => ({ due: true, dead: false, controlplane, etcd }))),
  // Of a dead node no role can be removed alone.
  { due: true, dead: true, controlplane: false, etcd: false },
];
const GOOD: readonly Result[] = ['succeeded', 'succeededWithIssues'];
const ENDS: readonly Result[] = [...GOOD, 'failed', 'canceled', 'skipped'];

function outputsOf({ due, dead, controlplane, etcd }: Planned): Map<string, string> {
  if (!due) return new Map([['plan.due', 'false']]);
  return new Map([
    ['plan.due', 'true'],
    ['plan.oldNodeState', dead ? 'dead' : 'alive'],
    ['plan.hasControlPlane', String(controlplane)],
    ['plan.hasEtcd', String(etcd)],
  ]);
}

/** What the rule says: these stages have something to do, and each needs all of them before it. */
function neededBy(plan: Planned): string[] {
  const needed = (name: string): boolean =>
    name === 'remove_dead' ? plan.dead : name === 'controlplane' ? plan.controlplane : name !== 'etcd' || plan.etcd;
  return plan.due ? STAGES.filter(needed) : ['plan'];
}

function starts(stage: Stage, ended: ReadonlyMap<string, StageOutcome>, canceled: boolean): boolean {
  const direct = stage.dependsOn.map((name) => ended.get(name) as StageOutcome);
  return holds(stage.condition, {
    names: new Map([
      ['variables', variableNames(createVariables())],
      ['dependencies', stageContext(direct)],
    ]),
    status: { canceled, before: direct.map(({ result }) => result), named: (name) => ended.get(name)?.result },
  });
}

function outcome(stage: Stage, result: Result, plan: Planned): StageOutcome {
  // A plan that failed may have said something before.
  const spoke = stage.name.startsWith('plan_') && result !== 'skipped';
  const outputs = spoke ? outputsOf(plan) : new Map<string, string>();
  return { stage, result, jobs: [{ job: stage.jobs.at(-1) as Job, result, outputs }] };
}

/** Walks all ways; `visit` sees each stage, whether it starts, and what ended before it. */
function walk(
  stages: readonly Stage[],
  plan: Planned,
  visit: (stage: Stage, started: boolean, ended: ReadonlyMap<string, StageOutcome>) => void,
  ended: ReadonlyMap<string, StageOutcome> = new Map(),
): void {
  const [stage, ...rest] = stages;
  if (!stage) return;
  const started = starts(stage, ended, false);
  visit(stage, started, ended);
  for (const result of started ? ENDS : (['skipped'] as const)) {
    walk(rest, plan, visit, new Map([...ended, [stage.name, outcome(stage, result, plan)]]));
  }
}

describe('the conditions of a cycle', () => {
  let slot: Stage[];
  let later: Stage[];
  before(async () => {
    slot = (await expand()).pipeline.stages;
    later = (await expand({ maxNodes: 5 })).pipeline.stages;
  });

  for (const plan of PLANS) {
    const { due, dead, controlplane, etcd } = plan;
    const what = due
      ? `a ${dead ? 'dead' : 'living'} node${controlplane ? ' with the control plane' : ''}${etcd ? ' with etcd' : ''}`
      : 'nothing due';

    it(`start a stage only after all that ${what} needs before it succeeded`, () => {
      let seen = 0;
      const needed = neededBy(plan);
      walk(slot, plan, (stage, started, ended) => {
        seen += 1;
        const name = stage.name.replace('_1', '');
        const place = needed.indexOf(name);
        const good = (before: string): boolean => GOOD.includes(ended.get(`${before}_1`)?.result ?? 'skipped');
        const expected = name === 'release' || (place >= 0 && needed.slice(0, place).every(good));
        const so = [...ended.values()].map((one) => `${one.stage.name}=${one.result}`).join(' ');
        assert.equal(started, expected, `${stage.name} after ${so}`);
      });
      // Each needed stage ends in two good ways and three bad ones.
      assert.ok(seen > 5 * needed.length, `${seen} visits`);
    });
  }

  it('reach the deletion of the VM for every set of roles, and for a dead node', () => {
    for (const plan of PLANS.filter(({ due }) => due)) {
      let deletions = 0;
      walk(slot, plan, (stage, started) => (deletions += stage.name === 'delete_1' && started ? 1 : 0));
      assert.equal(deletions, 2 ** (neededBy(plan).length - 1), JSON.stringify(plan));
    }
  });

  it('start nothing but the release once somebody cancelled', () => {
    for (const plan of PLANS) {
      walk(slot, plan, (stage, _started, ended) => {
        assert.equal(starts(stage, ended, true), stage.name === 'release', stage.name);
      });
    }
  });

  it('start the next slot only when the one before replaced its node or had none to replace', () => {
    for (let number = 2; number <= 5; number += 1) {
      const find = (name: string): Stage => later.find((stage) => stage.name === name) as Stage;
      const plan = find(`plan_${number}`);
      const [planned, deleted] = [find(`plan_${number - 1}`), find(`delete_${number - 1}`)];
      for (const due of YES_NO) {
        for (const planEnd of ENDS) {
          for (const deleteEnd of ENDS) {
            const before = { ...NOTHING, due };
            const ended = new Map([
              [planned.name, outcome(planned, planEnd, before)],
              [deleted.name, outcome(deleted, deleteEnd, before)],
            ]);
            const nothing = GOOD.includes(planEnd) && !due;
            const so = `${plan.name}: due ${due}, plan ${planEnd}, delete ${deleteEnd}`;
            assert.equal(starts(plan, ended, false), GOOD.includes(deleteEnd) || nothing, so);
            assert.equal(starts(plan, ended, true), false, `${so}, cancelled`);
          }
        }
      }
    }
  });
});
