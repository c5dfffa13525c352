/**
 * The whole cycle in advance: every step's plan, each on the world that the steps before it would leave. The
 * same plans as the tasks make, so the dry run cannot say something else than what will be done.
 */
import type { Config } from '../config/schema.ts';
import type { World } from '../observed.ts';
import { foresee, type Plan, type Refusal } from '../step.ts';
import { planAddNode, type AddNodeActs } from '../steps/rke-add-node.ts';
import { planDeleteVm, type DeleteVmActs } from '../steps/delete-vm.ts';
import { planProvision, type ProvisionActs } from '../steps/provision-node.ts';
import { planRemoveRole, type RemoveRoleActs } from '../steps/rke-remove-role.ts';
import { planSwapDns, type SwapDnsActs } from '../steps/swap-dns.ts';
import { planUpdateIngress, type IngressActs } from '../steps/update-ingress.ts';

export type AllActs = ProvisionActs & AddNodeActs & RemoveRoleActs & DeleteVmActs & SwapDnsActs & IngressActs;

export interface Leg {
  /** As the stage's task is called. */
  step: string;
  actions: { id: string; reason: string; irreversible: boolean }[];
}

export interface Path {
  legs: Leg[];
  after: World;
  refusal?: { leg: string; refusal: Refusal } | undefined;
}

export interface PathInput {
  leaving: string;
  staying: string;
  dead: boolean;
}

/** Foreseeing never applies anything. */
const NO_ACTS = new Proxy({} as AllActs, {
  get: (_target, name) => () => Promise.reject(new Error(`${String(name)} was called while only planning`)),
});

export function stepsOf(
  config: Config,
  input: PathInput,
  acts: AllActs,
): { step: string; plan: (world: World) => Plan<World> }[] {
  const pair = { leaving: input.leaving, staying: input.staying };
  const { leaving, staying } = pair;
  const remove = (role: 'controlplane' | 'etcd' | 'node') => ({
    step: `RkeRemoveRole ${role} ${leaving}`,
    plan: (world: World) => planRemoveRole(config, { ...pair, role }, acts, world),
  });
  const provision = {
    step: `ProvisionNode ${staying}`,
    plan: (world: World) => planProvision(config, pair, acts, world),
  };
  const join = {
    step: `RkeAddNode ${staying}`,
    plan: (world: World) => planAddNode(config, pair, acts, world),
  };
  const ingress = (side: 'in' | 'out') => ({
    step: `UpdateIngress ${side} ${side === 'in' ? staying : leaving}`,
    plan: (world: World) => planUpdateIngress(config, { ...pair, side }, acts, world),
  });
  const dns = (change: 'swap' | 'out') => ({
    step: `SwapDns ${change} ${leaving}`,
    plan: (world: World) => planSwapDns(config, { ...pair, change }, acts, world),
  });
  const vm = (mode: 'delete' | 'stop') => ({
    step: `DeleteVm ${mode} ${leaving}`,
    plan: (world: World) => planDeleteVm(config, { ...pair, mode }, acts, world),
  });
  return input.dead
    ? [
        provision,
        vm('stop'),
        dns('out'),
        ingress('out'),
        remove('node'),
        join,
        ingress('in'),
        dns('swap'),
        ingress('out'),
        vm('delete'),
      ]
    : [
        provision,
        join,
        ingress('in'),
        dns('swap'),
        ingress('out'),
        remove('controlplane'),
        remove('etcd'),
        remove('node'),
        vm('delete'),
      ];
}

export function foreseePath(config: Config, input: PathInput, world: World): Path {
  const legs: Leg[] = [];
  let after = world;
  for (const { step, plan } of stepsOf(config, input, NO_ACTS)) {
    const seen = foresee({ plan }, after);
    legs.push({
      step,
      actions: seen.actions.map(({ id, reason, irreversible }) => ({
        id,
        reason,
        irreversible: irreversible === true,
      })),
    });
    after = seen.after;
    if (seen.refusal !== undefined) return { legs, after, refusal: { leg: step, refusal: seen.refusal } };
  }
  return { legs, after };
}

/** The whole cycle as lines of a table: what each step would do, and why. */
export function renderPath(path: Path): string[] {
  const lines = ['The whole cycle, step by step (! cannot be taken back):'];
  for (const leg of path.legs) {
    lines.push(leg.actions.length === 0 ? `${leg.step}: nothing is missing` : leg.step);
    for (const action of leg.actions)
      lines.push(`  ${action.irreversible ? '!' : '-'} ${action.id}: ${action.reason}`);
  }
  return lines;
}
