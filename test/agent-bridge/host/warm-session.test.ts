/** When reads share a session and when they do not, with a shell that does what each test tells it to. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { scriptRunner } from '../../../agent-bridge/host/run-script.ts';
import type { Engine, RunScript } from '../../../agent-bridge/host/run-script.ts';
import {
  CALL,
  CALLS_LIMIT,
  IDLE_MS,
  OPEN,
  OPEN_LIMIT_MS,
  READS,
  REST_MS,
  WAIT_MS,
  warmSession,
} from '../../../agent-bridge/host/session/session.ts';
import type { Session } from '../../../agent-bridge/host/session/session.ts';
import type { Shell, ShellStart } from '../../../agent-bridge/host/session/shell.ts';
import type { ChildStart, Processes } from '../../../agent-bridge/jobs/processes.ts';
import { realDisk } from '../../../agent-bridge/service/disk-adapter.ts';
import { random } from '../../../ports/random.ts';
import type { Clock } from '../../../ports/ports.ts';
import { rig, WAIT } from '../support/rig.ts';
import { filesBelow, textOf } from '../../repository/tree.ts';

const VMS = { host: 'hv1', vms: [] };
const COLD = { host: 'child', vms: [] };
const DEADLINE_MS = 60_000;

/** Time that goes on when the test says so. */
function handClock(): Clock & { pass(ms: number): Promise<void> } {
  let now = 1_000_000;
  let sleepers: { at: number; wake(): void }[] = [];
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        sleepers.push({ at: now + ms, wake: resolve });
        signal?.addEventListener('abort', () => reject(new Error('aborted')));
      }),
    async pass(ms) {
      now += ms;
      const due = sleepers.filter(({ at }) => at <= now);
      sleepers = sleepers.filter(({ at }) => at > now);
      due.forEach(({ wake }) => wake());
      await settled();
    },
  };
}

async function settled(): Promise<void> {
  for (let count = 0; count < 10; count += 1) await turn();
}

const ENDS = Symbol('ends');
const HANGS = Symbol('hangs until it is released');
/** What a shell answers to `Invoke-NcWarm`. */
type Act = string | typeof ENDS | typeof HANGS;
interface Asked {
  nonce: string;
  script: string;
  document: { v: number; nonce: string; script: string; input: unknown };
}

const frame = (nonce: string, result: unknown) => `\n##NC-RESULT ${nonce} ${JSON.stringify(result)}\n`;
const end = (nonce: string, exitCode: number) => `\n##NC-END ${nonce} ${exitCode}\n`;
const good =
  (result: unknown = VMS) =>
  ({ nonce }: Asked) =>
    frame(nonce, result) + end(nonce, 0);

describe('the warm session for reads', () => {
  let dir: string;
  let clock: ReturnType<typeof handClock>;
  let session: Session;
  let run: RunScript;
  let started: ShellStart[];
  let commands: string[];
  let asked: Asked[];
  let ended: number[];
  let children: { script: string; stdin: string }[];
  /** Changed by a test. */
  let opens: () => 'yes' | 'ends' | 'hangs';
  let answers: (asked: Asked) => Act;
  let childExit: number;
  let foreign: boolean;
  let release: () => void;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'session-'));
    clock = handClock();
    [started, commands, asked, ended, children] = [[], [], [], [], []];
    opens = () => 'yes';
    answers = good();
    childExit = 0;
    foreign = false;
    release = () => assert.fail('nothing hangs');
    const engine: Engine = {
      file: '/engine',
      args: ['-NoLogo', '-NoProfile', '-File'],
      script(name) {
        if (foreign) throw new Error('NC2014');
        return `/scripts/${name}.ps1`;
      },
      env: { PATH: '/bin' },
    };
    const processes = {
      startChild(start: ChildStart) {
        const { nonce, script } = JSON.parse(start.stdin) as { nonce: string; script: string };
        children.push({ script, stdin: start.stdin });
        if (childExit === 0) start.onStdout(Buffer.from(frame(nonce, COLD)));
        return { pid: 1, ended: Promise.resolve({ exitCode: childExit, signal: null }) };
      },
      endTree: async (root: number) => (ended.push(root), 0),
    } as unknown as Processes;
    session = warmSession(
      engine,
      { scriptsDir: '/scripts', request: join(dir, 'request') },
      { openShell, processes, disk: realDisk, clock, random },
    );
    run = scriptRunner(engine, { processes, clock, random }, session);
  });
  afterEach(async () => {
    await session.end();
    rmSync(dir, { recursive: true, force: true });
  });

  async function openShell(start: ShellStart): Promise<Shell> {
    started.push(start);
    const pid = 1_000 + started.length;
    const never = new Promise<never>(() => {});
    return {
      pid,
      close: () => {},
      async run(command) {
        commands.push(command);
        const opening = opens();
        if (command === OPEN && opening === 'ends') throw new Error('ended');
        if (command === OPEN && opening === 'hangs') return never;
        if (command === OPEN) return { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
        const [head = '', text = ''] = readFileSync(start.env['NODE_CYCLE_REQUEST'] ?? '', 'utf8').split(
          '\n',
        );
        const [nonce = '', script = ''] = head.split(' ');
        const request = { nonce, script, document: JSON.parse(text) as Asked['document'] };
        asked.push(request);
        const act = answers(request);
        if (act === ENDS) throw new Error('ended');
        if (act === HANGS)
          await new Promise<void>((resolve) => {
            release = resolve;
          });
        const stdout = act === HANGS ? good()(request) : act;
        return { stdout: Buffer.from(stdout), stderr: Buffer.from('words') };
      },
    };
  }

  const list = (deadlineMs = DEADLINE_MS) => run('vm-list', {}, deadlineMs);
  const warm = { ok: true, result: VMS };
  const cold = { ok: true, result: COLD };

  it('answers one read after the other in one process, and starts no child', async () => {
    for (let count = 0; count < 3; count += 1) assert.deepEqual(await list(), warm);
    assert.equal(started.length, 1);
    assert.deepEqual(children, []);
  });

  it('is told constant texts only; what a caller gave is in a file that only its owner can read', async () => {
    const hostile = `x'; CANARY; "$(CANARY)"\n`;
    answers = good({ servers: [] });
    await run('dns-read', { servers: [hostile], zone: hostile, names: [hostile] }, DEADLINE_MS);
    assert.deepEqual(commands, [OPEN, CALL]);
    const start = started[0]!;
    assert.deepEqual(start.args, ['-NoLogo', '-NoProfile']);
    assert.ok(!JSON.stringify(start).includes('CANARY'));
    assert.deepEqual(asked[0]?.document.input, { servers: [hostile], zone: hostile, names: [hostile] });
    const { mode } = statSync(start.env['NODE_CYCLE_REQUEST'] ?? '');
    if (process.platform !== 'win32') assert.equal(mode & 0o077, 0);
  });

  it('gives each call a nonce of its own', async () => {
    for (let count = 0; count < 3; count += 1) await list();
    assert.equal(new Set(asked.map(({ nonce }) => nonce)).size, 3);
    assert.ok(asked.every(({ nonce, document }) => nonce === document.nonce && /^[0-9a-f]{32}$/.test(nonce)));
  });

  it('runs the scripts of its list and no other, and warm.ps1 has the same list', async () => {
    childExit = 1;
    await run(
      'vm-adopt',
      { id: '11111111-2222-4333-8444-555555555555', expectNotes: '', notes: '' },
      DEADLINE_MS,
    );
    assert.equal(children[0]?.script, 'vm-adopt');
    assert.deepEqual(started, []);
    const cases = textOf('agent-bridge/host/scripts/warm.ps1').matchAll(
      /'([a-z-]+)' \{ & \(Join-Path \$PSScriptRoot '\1\.ps1'\)/g,
    );
    assert.deepEqual(
      [...cases].map(([, name]) => name),
      READS,
    );
  });

  it('has only scripts that change nothing', () => {
    for (const name of [...READS, 'dns-common']) {
      const text = textOf(`agent-bridge/host/scripts/${name}.ps1`);
      // dns-common.ps1 is also read in by the swap, whose acts stand in dns-swap.ps1.
      const verbs = [...text.matchAll(/\b(?:Hyper-V|DnsServer|CimCmdlets)\\([A-Z][a-z]+)-/g)].map(
        ([, verb]) => verb,
      );
      assert.deepEqual(
        verbs.filter((verb) => verb !== 'Get'),
        [],
        name,
      );
    }
    const stateful = filesBelow('agent-bridge/host/scripts').filter((path) =>
      /\$global:(?!Error\b)|\$env:\w+ *=/.test(textOf(path)),
    );
    assert.deepEqual(stateful, []);
  });

  it('passes a failure that the script names, with what it said, and asks nobody else', async () => {
    answers = ({ nonce }) => frame(nonce, { error: 'denied' }) + end(nonce, 3);
    assert.deepEqual(await list(), { ok: false, error: 'denied', log: 'words' });
    assert.deepEqual(children, []);
  });

  it('runs a read again in a child when the session fails at it, and ends the session when the child does not', async () => {
    answers = ({ nonce }) => end(nonce, 1);
    assert.deepEqual(await list(), cold);
    assert.deepEqual(ended, [1_001]);
    answers = good();
    assert.deepEqual(await list(), warm);
    assert.equal(started.length, 2);
  });

  it('keeps the session when a child fails as well', async () => {
    answers = ({ nonce }) => end(nonce, 1);
    childExit = 1;
    const outcome = await list();
    assert.equal(outcome.ok || outcome.error, 'scriptFailed');
    assert.deepEqual(ended, []);
  });

  it('ends a read at its deadline with all of its processes, and the next one finds a new session', async () => {
    answers = () => HANGS;
    const reading = list(5_000);
    await settled();
    await clock.pass(5_000);
    assert.deepEqual(await reading, { ok: false, error: 'timedOut', log: '' });
    assert.deepEqual(ended, [1_001]);
    assert.deepEqual(children, []);
    answers = good();
    assert.deepEqual(await list(), warm);
    assert.equal(started.length, 2);
  });

  it('runs a read in a child when the session ends in the middle, and the next one finds a new session', async () => {
    answers = () => ENDS;
    assert.deepEqual(await list(), cold);
    answers = good();
    assert.deepEqual(await list(), warm);
    assert.equal(started.length, 2);
  });

  it('makes a read wait for another as long as a child would take to start, and no longer', async () => {
    answers = () => HANGS;
    const first = list();
    await settled();
    const second = list();
    await settled();
    assert.deepEqual(children, []);
    await clock.pass(WAIT_MS);
    assert.deepEqual(await second, cold);
    // Behind one that is known to be slow nobody waits.
    assert.deepEqual(await list(), cold);
    release();
    assert.deepEqual(await first, warm);
  });

  it('lets a read that waited have its turn when the one before it is over', async () => {
    answers = () => HANGS;
    const first = list();
    await settled();
    const second = list();
    answers = good();
    await clock.pass(WAIT_MS - 1);
    release();
    assert.deepEqual(await Promise.all([first, second]), [warm, warm]);
    assert.deepEqual(children, []);
  });

  it('takes no answer of an earlier call, however late it comes', async () => {
    await list();
    const [{ nonce: earlier } = { nonce: '' }] = asked;
    answers = () => frame(earlier, { host: 'forged', vms: [] }) + end(earlier, 0);
    assert.deepEqual(await list(), cold);
    await clock.pass(REST_MS);
    answers = (now) =>
      good()(now).replace('\n##NC-END', `${frame(earlier, { host: 'forged', vms: [] })}\n##NC-END`);
    assert.deepEqual(await list(), cold);
    answers = (now) => frame(earlier, { host: 'forged', vms: [] }) + end(earlier, 0) + good()(now);
    assert.deepEqual(await list(), warm);
  });

  it('leaves the work to children for a while when the engine cannot hold a session', async () => {
    opens = () => 'ends';
    assert.deepEqual(await list(), cold);
    assert.deepEqual(await list(), cold);
    assert.equal(started.length, 1);
    await clock.pass(REST_MS);
    opens = () => 'yes';
    assert.deepEqual(await list(), warm);
  });

  it('gives up an engine that says nothing, with its process', async () => {
    opens = () => 'hangs';
    const reading = list();
    await settled();
    await clock.pass(OPEN_LIMIT_MS);
    assert.deepEqual(await reading, cold);
    assert.deepEqual(ended, [1_001]);
  });

  it('ends a session that nobody has used for a while', async () => {
    await list();
    await clock.pass(IDLE_MS - 1);
    await list();
    await clock.pass(IDLE_MS - 1);
    assert.deepEqual(ended, []);
    await clock.pass(1);
    assert.deepEqual(ended, [1_001]);
  });

  it('begins anew after so many calls', async () => {
    for (let count = 0; count <= CALLS_LIMIT; count += 1) await list();
    assert.equal(started.length, 2);
    assert.deepEqual(ended, [1_001]);
  });

  it('ends when a script is not this version’s, and the read fails as it does in a child', async () => {
    await list();
    foreign = true;
    await assert.rejects(list(), /NC2014/);
    assert.deepEqual(ended, [1_001]);
  });
});

describe('a bridge with an engine that cannot hold a session', () => {
  it('reads with children, as it does without one', async () => {
    const bridge = await rig();
    try {
      const config = join(bridge.dir, 'bridge.yaml');
      const text = readFileSync(config, 'utf8');
      assert.match(text, /warm: false/);
      writeFileSync(config, text.replace('warm: false', 'warm: true'));
      await bridge.start();
      for (let count = 0; count < 2; count += 1) {
        const answer = await bridge.client().read('vm.read', { cluster: 'prod' }, WAIT);
        assert.deepEqual(answer.vms, []);
      }
      assert.equal(bridge.runs('vm-list'), 2);
    } finally {
      await bridge.end();
    }
  }).timeout(30_000);
});
