/** From the start of the slowest bundled task until its inputs are read and its configuration is validated. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from '../figure.ts';
import type { Figure, Measured } from '../figure.ts';
import { untilEnd, untilLine } from '../process.ts';

const TASKS = join('dist', 'tasks');
const DEADLINE_MS = 10_000;
const VALID = /^Configuration .* is valid\.$/;

/** The smallest configuration that is valid. */
export const CONFIGURATION = `cluster: home
rke: { config: cluster.yml, branch: main }
addresses: { source: static, ranges: [10.0.20.60-10.0.20.79] }
vm: { image: ubuntu-node, sizes: { controlplane: server, etcd: server, worker: agent } }
`;

export const figure: Figure = {
  ...{ name: 'task.coldStart', unit: 'ms', peerName: 'node -e 0', goal: 1.6, goalOn: 'ratio', rounds: 9 },
  async measure(rounds) {
    if (!existsSync(TASKS)) throw new Error('there is no dist/tasks: run the build first');
    const tasks = readdirSync(TASKS).filter((name) => existsSync(join(TASKS, name, 'index.js')));
    const dir = mkdtempSync(join(tmpdir(), 'bench-'));
    try {
      const config = join(dir, 'node-cycle.yml');
      writeFileSync(config, CONFIGURATION);
      const env = { INPUT_CONFIG: config, AGENT_TEMPDIRECTORY: dir };
      const ours = new Map(tasks.map((task) => [task, [] as number[]]));
      const peer: number[] = [];
      // The first round fills the disk's cache and is not counted.
      for (let round = 0; round <= rounds; round += 1) {
        const empty = await untilEnd({ args: ['-e', '0'], deadlineMs: DEADLINE_MS });
        if (round > 0) peer.push(empty.ms);
        for (const task of tasks) {
          const args = [join(TASKS, task, 'index.js')];
          const started = await untilLine({ args, env, deadlineMs: DEADLINE_MS }, (line) => VALID.test(line));
          await started.end();
          if (round > 0) ours.get(task)?.push(started.ms);
        }
      }
      return { ours: slowest([...ours.values()]), peer } satisfies Measured;
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
};

function slowest(samples: readonly number[][]): number[] {
  return samples.reduce((worst, one) => ((median(one) ?? 0) > (median(worst) ?? 0) ? one : worst), []);
}
