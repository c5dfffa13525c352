/** The tests' way through a whole cycle by prediction alone. */
import { LEAVING_TAINT } from '../../cycle/cluster/kubernetes/endpoints.ts';
import { type Config } from '../../cycle/config/schema.ts';
import { factsToAnnotations, type Facts } from '../../cycle/facts.ts';
import { memberName, type World } from '../../cycle/observed.ts';
import { stepsOf, type AllActs, type PathInput } from '../../cycle/plan/path.ts';
import { decide, type Decision, type PlanInput, type PlanWorld } from '../../cycle/steps/plan-cycle.ts';
import { isRefusal, type Plan, type Refusal } from '../../cycle/step.ts';
import type { Over } from './world.ts';
import { ME } from './world.ts';

/** `name` fell silent an hour ago: NotReady, no SSH, no apiserver, its pods and its etcd member gone quiet. */
export function killed<W extends World>(world: W, name: string): W {
  const address = world.intent.yml.nodes.find((node) => node.hostnameOverride === name)?.address ?? '';
  return {
    ...world,
    kube: {
      ...world.kube,
      daemonSets: world.kube.daemonSets.map((set) => ({ ...set, ready: set.ready - 1 })),
      pods: world.kube.pods.map((pod) => (pod.node === name ? { ...pod, ready: false } : pod)),
      nodes: world.kube.nodes.map((node) =>
        node.name === name
          ? {
              ...node,
              ready: false,
              readyReason: 'NodeStatusUnknown',
              lastHeartbeatMs: world.nowMs - 3_600_000,
            }
          : node,
      ),
    },
    ssh: { ...world.ssh, [address]: 'timed out' },
    apiservers:
      world.apiservers[address] === undefined
        ? world.apiservers
        : { ...world.apiservers, [address]: 'no answer' },
    etcd: {
      ...world.etcd,
      members: world.etcd.members.map((member, index, all) => ({
        ...member,
        ...(member.name === memberName(name) ? { healthy: false, trouble: 'no answer' } : {}),
        leader: index === all.findIndex((other) => other.name !== memberName(name)),
      })),
    },
  };
}

export function planInput(over: Over<PlanInput> = {}): PlanInput {
  return { node: undefined, because: 'any', direction: 'forward', scheduled: false, me: ME, ...over };
}

export type Cycle = Extract<Decision, { kind: 'cycle' }>;

export function mustCycle(decision: Decision): Cycle {
  if (decision.kind === 'cycle') return decision;
  throw new Error(`expected a cycle, found ${JSON.stringify(decision)}`);
}

/** The world in which PlanCycle has begun the cycle: lock and facts are on the Lease. */
export function begun<W extends PlanWorld>(config: Config, world: W, over: Over<PlanInput> = {}): W {
  return withFacts(world, mustCycle(decide(config, planInput(over), world)).facts);
}

export function withFacts<W extends PlanWorld>(world: W, facts: Facts): W {
  const annotations = Object.fromEntries(
    Object.entries(factsToAnnotations(facts)).filter((entry): entry is [string, string] => entry[1] !== null),
  );
  return {
    ...world,
    facts,
    lock: {
      name: 'node-cycle-home',
      holder: ME,
      fence: 1,
      acquiredAtMs: world.nowMs,
      annotations,
      resourceVersion: '1',
    },
  };
}

/** Acts that only write down that they were called. */
export function noActs(calls: string[] = []): AllActs {
  return new Proxy({} as AllActs, {
    get: (_target, name) => () => {
      calls.push(String(name));
      return Promise.resolve();
    },
  });
}

export interface Travelled {
  actions: { step: string; id: string; wait: boolean; irreversible: boolean }[];
  /** `worlds[k]`: after k actions. */
  worlds: PlanWorld[];
  refusal?: { step: string; refusal: Refusal };
}

/** Every action of a whole cycle, in order, each on the world that the ones before it would leave. */
export function travel(config: Config, input: PathInput, from: PlanWorld): Travelled {
  const result: Travelled = { actions: [], worlds: [from] };
  let world: PlanWorld = from;
  for (const { step, plan } of stepsOf(config, input, noActs())) {
    for (;;) {
      const planned: Plan<World> = plan(world);
      if (isRefusal(planned)) return { ...result, refusal: { step, refusal: planned } };
      const [action] = planned;
      if (action === undefined) break;
      if (result.actions.length > 150) throw new Error(`no end after ${action.id}`);
      world = action.predict(world) as PlanWorld;
      result.actions.push({
        step,
        id: action.id,
        wait: action.apply === undefined,
        irreversible: action.irreversible === true,
      });
      result.worlds.push(world);
    }
  }
  return result;
}

/** The ids of those actions that change something. */
export function applied(travelled: Travelled, from = 0): string[] {
  return travelled.actions
    .slice(from)
    .filter(({ wait }) => !wait)
    .map(({ id }) => id);
}

/** What "as it was" means for a cycle that is taken back. */
export function asItWas(world: World, nodes: readonly string[]) {
  return {
    clusterYml: world.intent.text,
    proxies: world.proxies.map(({ files }) => files),
    ingress: world.ingress?.text,
    dns: world.dns.map(({ records }) =>
      records.map(({ name, type, ttl, data }) => `${name} ${ttl} ${type} ${data}`).sort(),
    ),
    members: world.etcd.members.map(({ name }) => name).sort(),
    state: world.state.current.nodes.map(({ address, roles }) => `${address} ${roles.join()}`).sort(),
    nodes: world.kube.nodes
      .filter(({ name }) => nodes.includes(name))
      .map(({ name, unschedulable, taints, labels }) => ({ name, unschedulable, taints, labels })),
    others: world.kube.nodes.filter(({ name }) => !nodes.includes(name)).map(({ name }) => name),
    vms: world.vms.filter(({ setAside }) => !setAside).map(({ name, state }) => `${name} ${state}`),
  };
}

export { LEAVING_TAINT };
