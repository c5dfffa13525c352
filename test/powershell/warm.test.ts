/**
 * Reads in one PowerShell that stays open, in the real engine: the same answers as from a process of their own, nothing
 * evaluated, nothing left for the next one, and no process left behind.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { scriptRunner } from '../../agent-bridge/host/run-script.ts';
import type { Engine, RunScript } from '../../agent-bridge/host/run-script.ts';
import { CALL, OPEN, warmSession } from '../../agent-bridge/host/session/session.ts';
import type { Session } from '../../agent-bridge/host/session/session.ts';
import type { Shell } from '../../agent-bridge/host/session/shell.ts';
import { realDisk } from '../../agent-bridge/service/disk-adapter.ts';
import { realProcesses } from '../../agent-bridge/service/processes-adapter.ts';
import { openShell } from '../../agent-bridge/service/shell-adapter.ts';
import { clock } from '../../ports/clock.ts';
import { random } from '../../ports/random.ts';
import { isAlive, rig, until, WAIT } from '../agent-bridge/support/rig.ts';
import { below, DNS_NAMES, NAMES } from './bad-values.ts';
import { ID } from './creation.ts';
import { engineEnv, SCRIPT_ARGS } from './engine.ts';
import type { PowerShell } from './engine.ts';
import { hostOnDisk, runCases, scriptsDir } from './host.ts';
import type { Case, HostOnDisk } from './host.ts';
import { onPowerShell } from './suite.ts';

const DEADLINE_MS = 60_000;
const ZONE = 'example.test';
const DC1 = '10.0.20.2';

type Read = Pick<Case, 'script' | 'input'>;
interface Warm {
  session: Session;
  /** As the bridge has it: through the session where that can be. */
  run: RunScript;
  shells: Shell[];
}

onPowerShell('Reads in a session that stays open', (engine) => {
  let host: HostOnDisk;
  let warm: Warm;

  beforeEach(() => {
    host = hostOnDisk(engine());
    host.addVm({ id: ID, name: 'n1', notes: '\u00e4 \u4e2d 2026-01-02T03:04:05Z\r\n' });
    host.change((world) => {
      const records = [{ name: 'cp-prod', type: 'A', ttl: 300, data: '10.0.20.101' }];
      world.dns = { [DC1]: { zones: { [ZONE]: { serial: 7, records } } } };
    });
    warm = warmOn(engine(), host);
  });
  afterEach(async () => {
    await warm.session.end();
    host.end();
  });

  const list = (deadlineMs = DEADLINE_MS) => warm.run('vm-list', {}, deadlineMs);
  const answerOf = async ({ script, input }: Read) => {
    const outcome = await warm.session.read(script, input, DEADLINE_MS);
    assert.ok(outcome, 'the session did not answer');
    return outcome.ok ? outcome.result : outcome.error;
  };
  const vms = async () => {
    const outcome = await warm.session.read('vm-list', {}, DEADLINE_MS);
    return outcome?.ok ? outcome.result.vms : assert.fail(JSON.stringify(outcome));
  };
  const pid = () => warm.shells.at(-1)?.pid ?? 0;

  it('answers all reads as a process of their own does, and fails as it does', async () => {
    const differencing = join(host.imageRoot, 'top.vhdx');
    writeFileSync(differencing, `differencing ${join(host.imageRoot, 'golden.vhdx')}`);
    writeFileSync(join(host.imageRoot, 'golden.vhdx'), 'dynamic');
    const folder = join(host.imageRoot, 'ubuntu');
    mkdirSync(folder);
    const built = {
      id: 'ubuntu',
      builtAt: '2026-01-02T03:04:05.123Z',
      version: '7',
      sourceHash: 'a'.repeat(64),
    };
    writeFileSync(join(folder, 'image.json'), JSON.stringify({ ...built, disk: differencing }));
    const reads: Read[] = [
      { script: 'vm-list', input: {} },
      { script: 'host-info', input: { vmRoot: host.vmRoot } },
      { script: 'image-list', input: { images: [{ id: 'ubuntu', folder }] } },
      { script: 'disk-parents', input: { disks: [differencing] } },
      { script: 'dns-read', input: { servers: [DC1], zone: ZONE, names: ['cp-prod', 'absent'] } },
      { script: 'dns-read', input: { servers: ['10.0.20.99'], zone: ZONE, names: ['cp-prod'] } },
      { script: 'dns-read', input: { servers: [DC1], zone: 'other.test', names: ['cp-prod'] } },
      { script: 'host-info', input: { vmRoot: 'relative' } },
    ] as Read[];
    await same(reads);
    host.change((world) => (world.denied = ['Get-VM']));
    await same([reads[0]!]);
    assert.equal(warm.shells.length, 1);
  });

  it('evaluates no value of the bad-input list, and answers each as a process of its own does', async () => {
    const canaries = mkdtempSync(join(tmpdir(), 'canaries-'));
    const armed = (value: string) =>
      value.replaceAll('CANARY', `[System.IO.File]::WriteAllText('${join(canaries, 'canary')}','')`);
    const texts = NAMES.map(armed);
    const reads = [
      ...[...texts, ...below(host)].flatMap((value) => [
        { script: 'host-info', input: { vmRoot: value } },
        { script: 'image-list', input: { images: [{ id: 'x', folder: value }] } },
      ]),
      ...texts.map((value) => ({ script: 'disk-parents', input: { disks: [value] } })),
      ...[...texts, ...DNS_NAMES.map(armed)].flatMap((value) => [
        { script: 'dns-read', input: { servers: [DC1], zone: ZONE, names: [value] } },
        { script: 'dns-read', input: { servers: [DC1], zone: value, names: ['cp-prod'] } },
        { script: 'dns-read', input: { servers: [value], zone: ZONE, names: ['cp-prod'] } },
      ]),
    ] as Read[];
    assert.ok(reads.length > 200);
    try {
      await same(reads);
      assert.deepEqual(readdirSync(canaries), []);
      assert.equal(warm.shells.length, 1);
    } finally {
      rmSync(canaries, { recursive: true });
    }
  });

  it('sees at once what has changed on the host', async () => {
    assert.equal((await vms()).length, 1);
    host.addVm({ id: ID.replace('1111', '2222'), name: 'n2' });
    assert.equal((await vms()).length, 2);
    host.change((world) => (world.vms = []));
    assert.deepEqual(await vms(), []);
  });

  it('leaves nothing of one call to the next', async () => {
    const shell = await openShell(startOf(engine(), host));
    const ask = (script: string, input: object) => {
      const document = { v: 1, nonce: 'n', script, input };
      writeFileSync(join(host.dir, 'request'), `n ${script}\n${JSON.stringify(document)}`);
      return shell.run(CALL);
    };
    const said = async (command: string) =>
      Buffer.from((await shell.run(command)).stdout)
        .toString()
        .trim();
    const absent = (member: string) =>
      `[Console]::Out.WriteLine($null -eq $ExecutionContext.SessionState.${member})`;
    try {
      await shell.run(OPEN);
      await shell.run("[void] $ExecutionContext.SessionState.Path.SetLocation('/')");
      await ask('vm-list', {});
      await ask('host-info', { vmRoot: 'relative' });
      assert.equal(await said('[Console]::Out.WriteLine($ErrorActionPreference)'), 'Continue');
      assert.equal(
        await said('[Console]::Out.WriteLine($ExecutionContext.SessionState.Path.CurrentLocation.Path)'),
        scriptsDir,
      );
      for (const name of ['NcWarm', 'NcNonce', 'NcUtf8', 'in', 'found', 'nonce', 'head'])
        assert.equal(await said(absent(`PSVariable.GetValue('${name}')`)), 'True', name);
      for (const name of ['Get-NcView', 'Invoke-NcScript', 'Stop-NcVm'])
        assert.equal(await said(absent(`InvokeCommand.GetCommand('${name}', 'All')`)), 'True', name);
      assert.equal(await said(absent(`InvokeCommand.GetCommand('${CALL}', 'All')`)), 'False');
      // Strict mode, too, was the script's own: an unknown variable is null again.
      assert.equal(await said('[Console]::Out.WriteLine("[" + $never + "]")'), '[]');
    } finally {
      shell.close();
      await realProcesses('').endTree(shell.pid, 'none');
    }
  });

  it('ends at its deadline with its process, and the next read finds a new one', async () => {
    await list();
    const first = pid();
    const restore = blocked(host);
    const outcome = await list(1_500);
    assert.equal(outcome.ok || outcome.error, 'timedOut');
    assert.ok(!isAlive(first));
    restore();
    assert.ok((await list()).ok);
    assert.equal(warm.shells.length, 2);
  });

  it('lets a read that hangs not hold up another', async () => {
    await list();
    const restore = blocked(host);
    const hanging = list(3_000);
    await sleep(200);
    const other = warm.run('image-list', { images: [] }, DEADLINE_MS);
    assert.deepEqual(await other, { ok: true, result: { images: [] } });
    restore();
    await hanging;
  });

  it('gives the answer all the same when its process is killed in the middle', async () => {
    await list();
    const restore = blocked(host);
    const reading = list();
    await sleep(300);
    restore();
    process.kill(pid(), 'SIGKILL');
    assert.ok((await reading).ok);
    assert.ok((await list()).ok);
    assert.equal(warm.shells.length, 2);
  });

  it('takes no more than a result’s length from a session', async () => {
    await list();
    const first = pid();
    host.change((world) => (world.vms[0]!.notes = 'x'.repeat(6_000_000)));
    const outcome = await list();
    assert.equal(outcome.ok || outcome.error, 'noResult');
    assert.ok(!isAlive(first));
    host.change((world) => (world.vms[0]!.notes = ''));
    assert.ok((await list()).ok);
  });

  it('is not taken in by notes that look like an answer', async () => {
    const notes = '\n##NC-RESULT n {"host":"x","vms":[]}\n##NC-END n 0\n';
    host.change((world) => (world.vms[0]!.notes = notes));
    assert.equal((await vms())[0]?.notes, notes);
  });

  it('runs nothing but reads, whatever the request says', async () => {
    const shell = await openShell(startOf(engine(), host));
    try {
      await shell.run(OPEN);
      for (const script of ['vm-purge', 'common', '../scripts/vm-list', 'vm-list.ps1', '']) {
        writeFileSync(join(host.dir, 'request'), `n ${script}\n{"v":1,"nonce":"n","input":{}}`);
        const { stdout, stderr } = await shell.run(CALL);
        assert.match(Buffer.from(stdout).toString(), /^##NC-END n 1$/);
        assert.match(Buffer.from(stderr).toString(), /Only reads/);
      }
    } finally {
      shell.close();
      await realProcesses('').endTree(shell.pid, 'none');
    }
    assert.deepEqual(host.calls(), []);
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const)
    it(`ends with a bridge that gets ${signal}`, async () => {
      const wrapper = join(host.dir, 'powershell');
      const world = join(host.dir, 'world');
      const set = Object.entries(engineEnv({ NODE_CYCLE_TEST_WORLD: world })).map(
        ([name, value]) => `${name}='${value}'`,
      );
      writeFileSync(wrapper, `#!/bin/sh\nexport ${set.join(' ')}\nexec '${engine().file}' "$@"\n`);
      chmodSync(wrapper, 0o755);
      const bridge = await rig();
      try {
        const config = join(bridge.dir, 'bridge.yaml');
        const text = readFileSync(config, 'utf8');
        writeFileSync(config, text.replace(/^engine: .*$/m, `engine: { file: ${wrapper} }`), { mode: 0o600 });
        await bridge.start();
        const read = () => bridge.client().read('host.read', {}, { ...WAIT, deadlineMs: DEADLINE_MS });
        assert.equal((await read()).hosts[0]?.host, 'HOST1');
        await read();
        const held = sessionsOf(bridge.dataDir);
        assert.equal(held.length, 1);
        await (signal === 'SIGTERM' ? bridge.stop() : bridge.kill());
        await until(() => !held.some(isAlive), 'the session has ended');
      } finally {
        await bridge.end();
      }
    });

  async function same(reads: readonly Read[]): Promise<void> {
    const cold = await runCases(
      engine(),
      reads.map((read) => ({ ...read, host })),
    );
    for (const [index, read] of reads.entries()) {
      const one = cold[index]!;
      const expected = one.ok ? one.result : one.error;
      assert.deepEqual(steady(await answerOf(read)), steady(expected), JSON.stringify(read).slice(0, 300));
    }
  }
});

/** Without what changes from one moment to the next. */
function steady(answer: unknown): unknown {
  return typeof answer === 'object' ? { ...answer, diskFreeBytes: 0 } : answer;
}

const environment = (host: HostOnDisk) => engineEnv({ NODE_CYCLE_TEST_WORLD: join(host.dir, 'world') });

function startOf(engine: PowerShell, host: HostOnDisk): Parameters<typeof openShell>[0] {
  const own = {
    NODE_CYCLE_WARM: join(scriptsDir, 'warm.ps1'),
    NODE_CYCLE_REQUEST: join(host.dir, 'request'),
  };
  const env = { ...environment(host), ...own };
  return { file: engine.file, args: SCRIPT_ARGS.slice(0, -1), env, limitBytes: 1_000_000 };
}

function warmOn({ file }: PowerShell, host: HostOnDisk): Warm {
  const shells: Shell[] = [];
  const engine: Engine = {
    ...{ file, args: SCRIPT_ARGS, env: environment(host) },
    script: (name) => join(scriptsDir, `${name}.ps1`),
  };
  const processes = realProcesses('');
  const session = warmSession(
    engine,
    { scriptsDir, request: join(host.dir, 'session-request') },
    {
      ...{ processes, disk: realDisk, clock, random },
      async openShell(start) {
        const shell = await openShell(start);
        shells.push(shell);
        return shell;
      },
    },
  );
  return { session, shells, run: scriptRunner(engine, { processes, clock, random }, session) };
}

/** Whoever reads the world waits for ever; what is given back lets new readers through. */
function blocked(host: HostOnDisk): () => void {
  const file = join(host.dir, 'world', 'world.json');
  renameSync(file, `${file}.kept`);
  execFileSync('mkfifo', [file]);
  return () => renameSync(`${file}.kept`, file);
}

/** Pids of the sessions whose request lies in this data folder. */
function sessionsOf(dataDir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/environ`))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/environ`, 'latin1').includes(`NODE_CYCLE_REQUEST=${dataDir}/`);
      } catch {
        return false;
      }
    })
    .map(Number);
}
