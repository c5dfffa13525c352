/** The adapter of node-powershell, on a program that takes lines as PowerShell does. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NO_ROOT } from '../../../agent-bridge/jobs/processes.ts';
import { realProcesses } from '../../../agent-bridge/service/processes-adapter.ts';
import { openShell } from '../../../agent-bridge/service/shell-adapter.ts';
import type { Shell } from '../../../agent-bridge/host/session/shell.ts';
import { isAlive, until } from '../support/rig.ts';

const PROGRAM = `#!${process.execPath}
let flooding;
const say = { Out: process.stdout, Error: process.stderr };
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [, stream, text] = /^\\[Console\\]::(Out|Error)\\.WriteLine\\("(.*)"\\)$/.exec(line) ?? [];
  if (flooding) return;
  if (stream) say[stream].write(text + '\\n');
  else if (line === 'arguments') console.log(JSON.stringify([process.argv.slice(2), Object.keys(process.env)]));
  else if (line === 'both') { console.log('\\u00e4 out'); console.error('words'); }
  else if (line === 'flood') flooding = setInterval(() => process.stdout.write('x'.repeat(10_000)), 1);
  else if (line.startsWith('exit ')) process.exit(Number(line.slice(5)));
});
`;
const LIMIT_BYTES = 100_000;

describe('a PowerShell that stays open', function () {
  if (process.platform === 'win32') return;
  const dir = mkdtempSync(join(tmpdir(), 'shell-'));
  const file = join(dir, 'engine');
  const open: Shell[] = [];
  before(() => writeFileSync(file, PROGRAM, { mode: 0o755 }));
  after(async () => {
    for (const shell of open) {
      shell.close();
      if (shell.pid !== NO_ROOT) await realProcesses('').endTree(shell.pid, 'none');
    }
    rmSync(dir, { recursive: true });
  });
  const opened = async (program = file) => {
    const args = ['-NoProfile', '-ExecutionPolicy', 'Bypass'];
    const shell = await openShell({ file: program, args, env: { ONLY: 'this' }, limitBytes: LIMIT_BYTES });
    open.push(shell);
    return shell;
  };
  const text = async (shell: Shell, command: string) =>
    Buffer.from((await shell.run(command)).stdout).toString();

  it('is started with the given words, the ones for commands on stdin, and the given environment', async () => {
    process.env['NODE_POWERSHELL'] = '/somewhere/else';
    try {
      const [args, names] = JSON.parse(await text(await opened(), 'arguments')) as string[][];
      const before = ['-NoLogo', '-NoProfile', '-ExecutionPolicy', 'Bypass'];
      assert.deepEqual(args, [...before, '-NoExit', '-Command', '-']);
      assert.deepEqual(names, ['ONLY']);
    } finally {
      delete process.env['NODE_POWERSHELL'];
    }
  });

  it('gives what one command printed, each stream by itself', async () => {
    const shell = await opened();
    for (let count = 0; count < 3; count += 1) {
      const { stdout, stderr } = await shell.run('both');
      assert.equal(Buffer.from(stdout).toString(), '\u00e4 out');
      assert.equal(Buffer.from(stderr).toString(), 'words');
      assert.equal(await text(shell, 'nothing'), '');
    }
  });

  it('fails a command in which it ends, with whatever exit code, and all that follow', async () => {
    for (const code of [0, 7]) {
      const shell = await opened();
      await assert.rejects(shell.run(`exit ${code}`));
      await assert.rejects(shell.run('both'));
    }
  });

  it('fails its commands when there is no such program', async () => {
    const shell = await opened(join(dir, 'absent'));
    assert.equal(shell.pid, NO_ROOT);
    await assert.rejects(shell.run('both'));
  });

  it('fails a command that prints without end, and reads no more of it', async () => {
    const shell = await opened();
    const { pid } = shell;
    await assert.rejects(shell.run('flood'), /too much/);
    // Its pipe is closed: the next write ends it.
    await until(() => !isAlive(pid), 'the shell has ended');
  });

  it('takes its end in between for no accident', async () => {
    const shell = await opened();
    const { pid } = shell;
    await text(shell, 'both');
    process.kill(pid, 'SIGKILL');
    await until(() => !isAlive(pid), 'the shell has ended');
    await until(() => shell.pid === NO_ROOT, 'it is known to have ended');
    await assert.rejects(shell.run('both'));
  });
});
