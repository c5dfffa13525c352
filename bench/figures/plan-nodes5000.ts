/** PlanCycle's decision on a cluster of 5,000 nodes: which is due, its successor, and the whole way in advance. */
import type { Intent } from '../../cycle/observed.ts';
import type { Figure } from '../figure.ts';

const NODES = 5_000;

export const figure: Figure = {
  ...{ name: 'plan.nodes5000', unit: 'ms', peerName: undefined, goal: 1_000, goalOn: 'ours', rounds: 9 },
  async measure(rounds) {
    const [{ decide }, { largeCluster }] = await load();
    const { config, world } = largeCluster(NODES);
    const input = {
      ...{
        node: undefined,
        because: 'any' as const,
        direction: 'forward' as const,
        scheduled: false,
        me: 'bench',
      },
    };
    const ours: number[] = [];
    // The first round is not counted: the code is compiled in it.
    for (let round = 0; round <= rounds; round += 1) {
      const observed = { ...world, intent: await intentOf(`${world.intent.text}# round ${round}\n`) };
      const startedAt = performance.now();
      const decision = decide(config, input, observed);
      const ms = performance.now() - startedAt;
      if (decision.kind !== 'cycle') {
        const why =
          decision.kind === 'nothing'
            ? decision.reason
            : `${decision.code} ${decision.what} ${decision.evidence.join('; ')}`;
        throw new Error(`no cycle was planned: ${why}`);
      }
      if (round > 0) ours.push(ms);
    }
    return { ours, peer: [] };
  },
};

/** As the observation leaves it. Each round has a text of its own, or the texts kept from the last one would be measured. */
async function intentOf(text: string): Promise<Intent> {
  const { parseClusterYml } = await import('../../cycle/cluster/rke/cluster-yml.ts');
  return { commit: '1'.repeat(40), text, yml: parseClusterYml(text) };
}

/** The planner is loaded here, so that the other figures can be measured while it does not compile. */
async function load() {
  return Promise.all([import('../../cycle/steps/plan-cycle.ts'), import('../large-cluster.ts')]);
}
