import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { RESULT_PREFIX } from '../../../../agent-bridge/host/scripts.ts';
import { serveControl } from '../../../../lab/servers/control.ts';
import type { ControlServer } from '../../../../lab/servers/control.ts';
import { scriptOf, writeEngine } from '../../../../lab/servers/engine.ts';
import { eventually, testCluster } from '../cluster.ts';
import type { TestCluster } from '../cluster.ts';

const NONCE = 'f'.repeat(32);
const ARGUMENTS = ['-NoLogo', '-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'AllSigned', '-File'];
let cluster: TestCluster;
let control: ControlServer;
let folder: string;
let engine: string;

interface Ended {
  code: number | null;
  stdout: string;
}

function start(script: string, input: unknown): { ended: Promise<Ended>; kill(): void } {
  const stdin = JSON.stringify({ v: 1, nonce: NONCE, script, input });
  const child = spawn(engine, [...ARGUMENTS, join(folder, `${script}.ps1`)], {
    env: {},
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(stdin);
  let stdout = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  return {
    ended: new Promise((ended) => child.on('close', (code) => ended({ code, stdout }))),
    kill: () => void child.kill('SIGKILL'),
  };
}

const post = (path: string, body: unknown): Promise<Response> =>
  fetch(`${control.url}${path}`, { method: 'POST', body: JSON.stringify(body) });

describe('the control socket and the engine executable of the lab', () => {
  before(async () => {
    cluster = testCluster({ workloads: false });
    control = await serveControl(cluster.world, {
      async rke(request, write) {
        write({ line: `asked for ${JSON.stringify(request)}` });
        await Promise.resolve();
        write({ exit: 0 });
      },
      state: () => ({ mine: true }),
    });
    folder = await mkdtemp(join(tmpdir(), 'lab-engine-'));
    engine = join(folder, 'powershell');
    const program = [
      '--import',
      resolve('node_modules/tsx/dist/loader.mjs'),
      resolve('lab/servers/engine.ts'),
    ];
    await writeEngine(engine, { url: control.url, host: 'hv1', program });
  });

  after(async () => {
    await control.close();
    cluster.world.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('reads the arguments that powershell.exe is given, and no others', () => {
    assert.equal(scriptOf([...ARGUMENTS, 'x.ps1']), 'x.ps1');
    assert.equal(scriptOf([...ARGUMENTS, 'x.ps1', 'more']), undefined);
    assert.equal(scriptOf(['-Command', '-']), undefined);
  });

  it('runs a script as a child without any environment', async () => {
    const { code, stdout } = await start('vm-list', {}).ended;
    assert.equal(code, 0);
    const line = stdout.trimEnd().split('\r\n').at(-1) ?? '';
    assert.ok(line.startsWith(`${RESULT_PREFIX}${NONCE} `));
    const { vms } = JSON.parse(line.slice(RESULT_PREFIX.length + NONCE.length)) as {
      vms: { name: string }[];
    };
    assert.equal(vms.length, 4);
    assert.ok((cluster.world.calls.get('bridge-engine') ?? 0) >= 1);
  });

  it('passes on a failure that the script understands', async () => {
    const input = { id: '00000000-0000-0000-0000-000000000000', gracefulSeconds: 0 };
    const { code, stdout } = await start('vm-stop', input).ended;
    assert.equal(code, 3);
    assert.match(stdout, /\{"error":"notFound"\}/);
  });

  it('leaves a script unfinished whose process was killed in its middle', async () => {
    const vm = cluster.world.hosts.vms().find(({ name }) => name === 'test-w2');
    assert.ok(vm);
    const { path } = vm;
    const input = { id: vm.id, newName: 'aside', folder: 'D:\\aside\\test-w2', gracefulSeconds: 5 };
    const child = start('vm-set-aside', input);
    await eventually(() => vm.state === 'off', 'the VM is off');
    child.kill();
    assert.equal((await child.ended).code, null);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.deepEqual([vm.state, vm.startAction, vm.path], ['off', 'nothing', path]);
    assert.equal((await start('vm-set-aside', input).ended).code, 0);
    assert.equal(vm.path, 'D:\\aside\\test-w2');
  });

  it('applies faults and says what is wrong with one that names nothing', async () => {
    assert.equal((await post('/fault', { fault: 'powerOff', machine: 'test-w3' })).status, 200);
    assert.equal(cluster.workers[2]?.powered, false);
    const wrong = await post('/fault', { fault: 'powerOff', machine: 'nobody' });
    assert.equal(wrong.status, 400);
    assert.match(await wrong.text(), /NC9201 .*no such machine: nobody/);
  });

  it('streams what the rke handler writes', async () => {
    const text = await (await post('/rke', { argv: ['up'] })).text();
    assert.deepEqual(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
      [{ line: 'asked for {"argv":["up"]}' }, { exit: 0 }],
    );
  });

  it('shows the state of the world', async () => {
    const state = (await (await fetch(`${control.url}/state`)).json()) as Record<string, unknown>;
    assert.equal(state['mine'], true);
    assert.equal((state['vms'] as unknown[]).length, 4);
    assert.equal(state['vmPeak'], 4);
  });
});
