/**
 * What the bridge adds to a read in its warm session: the hash of the scripts, the request, the frame and the check of
 * the result's shape. The same script is run in a session of the same kind without a bridge around it, by turns, and
 * the difference counts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scriptRunner } from '../../agent-bridge/host/run-script.ts';
import type { ScriptName } from '../../agent-bridge/host/scripts.ts';
import { CALL, OPEN, warmSession } from '../../agent-bridge/host/session/session.ts';
import { realDisk } from '../../agent-bridge/service/disk-adapter.ts';
import { realProcesses } from '../../agent-bridge/service/processes-adapter.ts';
import { openShell } from '../../agent-bridge/service/shell-adapter.ts';
import { clock } from '../../ports/clock.ts';
import { random } from '../../ports/random.ts';
import { engineEnv, powerShell, SCRIPT_ARGS } from '../../test/powershell/engine.ts';
import { scriptsDir } from '../../test/powershell/host.ts';
import type { Figure } from '../figure.ts';
import { inTurn } from '../in-turn.ts';
import { hostScripts } from '../../scripts/host-scripts.mjs';

const DEADLINE_MS = 60_000;
/** Until the engine has compiled what runs often. */
const WARM_UP = 100;

export const figure: Figure = {
  ...{ name: 'host.overhead', unit: 'ms', peerName: undefined, goal: 5, goalOn: 'ours', rounds: 200 },
  async measure(rounds) {
    const engine = await powerShell();
    if (typeof engine === 'string') throw new Error(engine);
    const dir = mkdtempSync(join(tmpdir(), 'bench-session-'));
    const request = join(dir, 'request');
    const processes = realProcesses('');
    const shared = { file: engine.file, env: engineEnv({}) };
    const own = { ...shared, args: SCRIPT_ARGS, script: await checkedScript() };
    const session = warmSession(
      own,
      { scriptsDir, request: join(dir, 'session-request') },
      { openShell, processes, disk: realDisk, clock, random },
    );
    const run = scriptRunner(own, { processes, clock, random }, session);
    const direct = await openShell({
      ...shared,
      args: SCRIPT_ARGS.slice(0, -1),
      env: { ...shared.env, NODE_CYCLE_WARM: join(scriptsDir, 'warm.ps1'), NODE_CYCLE_REQUEST: request },
      limitBytes: 1_000_000,
    });
    try {
      const document = { v: 1, nonce: 'n', script: 'image-list', input: { images: [] } };
      writeFileSync(request, `n image-list\n${JSON.stringify(document)}`);
      await direct.run(OPEN);
      const ours = async () => {
        const outcome = await run('image-list', { images: [] }, DEADLINE_MS);
        if (!outcome.ok) throw new Error(`the read ended as ${outcome.error}: ${outcome.log}`);
      };
      const peer = () => direct.run(CALL);
      await inTurn(WARM_UP, ours, peer);
      const measured = await inTurn(rounds, ours, peer);
      return { ours: measured.ours.map((ms, round) => ms - (measured.peer[round] ?? 0)), peer: [] };
    } finally {
      direct.close();
      await processes.endTree(direct.pid, 'none');
      await session.end();
      rmSync(dir, { recursive: true, force: true });
    }
  },
};

/** The scripts compared with their texts before each read, as in the bundle, where the build puts the texts in. */
async function checkedScript(): Promise<(name: ScriptName) => string> {
  Object.assign(globalThis, { HOST_SCRIPTS: JSON.parse(hostScripts().HOST_SCRIPTS) as unknown });
  const { SCRIPT_TEXTS, scriptPath } = await import('../../agent-bridge/host/script-texts.ts');
  if (SCRIPT_TEXTS.size === 0) throw new Error('the texts of the scripts were loaded before they were there');
  return (name) => scriptPath(realDisk, scriptsDir, name);
}
