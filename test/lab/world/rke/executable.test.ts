import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { SMALL } from '../../../../lab/example.ts';
import { serveControl } from '../../../../lab/servers/control.ts';
import type { ControlServer } from '../../../../lab/servers/control.ts';
import { rkeHandler, rkeWrapper } from '../../../../lab/servers/rke.ts';
import { testCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';

describe('rke as an executable', function () {
  this.timeout(20_000);
  const dir = mkdtempSync(join(tmpdir(), 'node-cycle-rke-bin-'));
  const program = join(dir, 'bin', 'rke');
  const work = join(dir, 'work');
  let cluster: TestCluster;
  let control: ControlServer;
  let agent: ChildProcess | undefined;
  let socket = '';

  before(async () => {
    cluster = await testCluster(SMALL, { pace: 0.3 });
    control = await serveControl(cluster.world, { rke: rkeHandler(cluster.around) });
    const script = join(dir, 'rke.cjs');
    buildSync({
      entryPoints: ['lab/servers/rke-main.ts'],
      bundle: true,
      platform: 'node',
      target: 'node20',
      outfile: script,
      external: ['cpu-features', '*.node'],
      logLevel: 'silent',
    });
    rkeWrapper(program, process.execPath, script, control.url);
    mkdirSync(work);
    writeFileSync(join(work, 'cluster.yml'), cluster.text('cluster.yml'));
    writeFileSync(join(work, 'cluster.rkestate'), cluster.text('cluster.rkestate'), { mode: 0o640 });
    socket = join(dir, 'agent.sock');
    agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    for (let tries = 0; tries < 100 && !existsSync(socket); tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    execFileSync('ssh-add', ['-q', '-'], {
      input: cluster.example.nodeKey.private,
      env: { PATH: process.env['PATH'] ?? '', SSH_AUTH_SOCK: socket },
      stdio: ['pipe', 'ignore', 'ignore'],
      timeout: 5_000,
    });
  });
  after(async () => {
    agent?.kill();
    await control.close();
    await cluster.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const env = () => ({ PATH: process.env['PATH'] ?? '', HOME: dir, SSH_AUTH_SOCK: socket });

  it('logs in with the key of the agent, prints on stdout, and overwrites the state in place', async () => {
    const child = spawn(program, ['up', '--config', 'cluster.yml', '--ssh-agent-auth'], {
      cwd: work,
      env: env(),
    });
    let stdout = '';
    child.stdout.on('data', (part: Buffer) => (stdout += part.toString()));
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(code, 0, stdout.slice(-500));
    assert.match(stdout, /^time="[^"]+Z" level=info msg="Running RKE version: v1\.2\.23"\n/);
    assert.match(stdout, /msg="Finished building Kubernetes cluster successfully"\n$/);
    assert.equal(statSync(join(work, 'cluster.rkestate')).mode & 0o777, 0o640);
    assert.equal(statSync(join(work, 'kube_config_cluster.yml')).mode & 0o777, 0o600);
    assert.ok(JSON.parse(readFileSync(join(work, 'cluster.rkestate'), 'utf8')));
    assert.equal(cluster.world.calls.get('rke'), 1);
  });

  it('dies at once when it is killed, and the run in the world ends with it', async () => {
    const child = spawn(program, ['up', '--ssh-agent-auth'], { cwd: work, env: env() });
    await new Promise<void>((resolve) =>
      child.stdout.on('data', (part: Buffer) => {
        if (part.toString().includes('Deploying kubernetes certificates')) resolve();
      }),
    );
    const ended = new Promise((resolve) =>
      child.on('exit', (_code, signal) => {
        resolve(signal);
      }),
    );
    child.kill('SIGTERM');
    assert.equal(await ended, 'SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(cluster.machine(0).containers.has('cert-deployer'), 'what it had started stays');
    assert.ok(existsSync(join(work, 'cluster.rkestate')));
    cluster.world.stopContainer(cluster.machine(0), 'cert-deployer');
  });

  it('answers --version where there is no cluster.yml', async () => {
    const child = spawn(program, ['--version'], { cwd: dir, env: env() });
    let stdout = '';
    child.stdout.on('data', (part: Buffer) => (stdout += part.toString()));
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.deepEqual([code, stdout], [0, 'rke version v1.2.23\n']);
  });
});
