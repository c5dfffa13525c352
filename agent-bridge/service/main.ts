/** The serving bundle, `bridge.cjs`. A supervisor starts with each job, so it loads only what it needs. */
import { clock } from '../../ports/clock.ts';
import { realDisk } from './disk-adapter.ts';
import { endWith } from './end-with.ts';
import { realProcesses } from './processes-adapter.ts';

const [, main = '', word, ...rest] = process.argv;

async function superviseJob(dir: string): Promise<number> {
  const { supervise } = await import('../jobs/supervise.ts');
  return (await supervise(dir, { disk: realDisk, processes: realProcesses(main), clock })) ? 0 : 1;
}

async function command(): Promise<number> {
  const [{ runCommand }, { commandPorts }] = await Promise.all([
    import('./commands.ts'),
    import('./process-adapter.ts'),
  ]);
  return runCommand(process.argv.slice(2), {
    ...commandPorts(main),
    openShell: async (start) => (await import('./shell-adapter.ts')).openShell(start),
  });
}

endWith(word === 'supervise' ? superviseJob(rest[0] ?? '') : command());
