/** A process of its own that runs rke as a task does: `node task-process.ts RKE WORKDIR bound|watched`. */
import { rkeUp } from '../../../../cycle/cluster/rke/driver.ts';
import { clock } from '../../../../ports/clock.ts';
import { files } from '../../../../ports/files.ts';
import { random } from '../../../../ports/random.ts';
import { run } from '../../../../ports/run.ts';
import type { Run } from '../../../../ports/ports.ts';

const [binary = '', workDir = '', how = ''] = process.argv.slice(2);
/** A machine without `setpriv`. */
const unbound: Run = (request) => run({ ...request, dieWithParent: false });

await rkeUp({
  ports: { run: how === 'bound' ? run : unbound, files, clock, random },
  binary,
  workDir,
  configName: 'cluster.yml',
  sshAuthSock: '/nowhere',
  expectation: { existingCluster: true },
  deadlineMs: 120_000,
});
