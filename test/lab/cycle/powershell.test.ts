/** A cycle whose bridge runs its own scripts in PowerShell's engine, as on a host, and is killed in the middle. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { SMALL } from '../../../lab/example.ts';
import { onPowerShell } from '../../powershell/suite.ts';
import { labSession, leftOvers, pairOf, stagesOf, type LabSession } from './harness.ts';

const LOOK_MS = 20;
const DEADLINE_MS = 120_000;

onPowerShell('A cycle with the scripts in the real engine', (engine) => {
  let session: LabSession;
  const ends: (() => Promise<void>)[] = [];
  const endAll = async () => {
    for (const end of ends.splice(0)) await end();
  };
  before(async () => {
    session = await labSession({ shape: SMALL, engine: engine() });
    ends.push(() => session.close());
  });
  after(endAll);

  it('replaces a node, though the bridge is killed while it makes the new VM', async () => {
    const { lab } = session;
    const [bridge] = lab.bridges;
    assert.ok(bridge);
    const queued = session.queue();
    const { hosts } = lab.world;
    const made = () => hosts.vms().some(({ name, state }) => name === 'home-n4' && state === 'off');
    const killed = until(made, 'the script has made the VM and not started it').then(async () => {
      await bridge.kill();
      await bridge.start();
    });
    const [run] = await Promise.all([queued, killed]);
    assert.equal(run.result.outcome, 'succeeded', JSON.stringify(stagesOf(run)));
    assert.equal(pairOf(run), 'home-n2 by home-n4');
    assert.deepEqual(await leftOvers(lab, 'home-n2', `${lab.example.base}.12`), []);
    assert.match(await bridge.command('audit', 'verify'), /^\d+ entries in \d+ file\(s\) are whole/);
  });

  it('leaves the VMs and files that it should, and no others', () => {
    const { lab } = session;
    const vms = lab.world.hosts.vms();
    assert.deepEqual(
      vms.map(({ name, state }) => `${name.replace(/-set-aside-\w+/, ' aside')} ${state}`).sort(),
      ['home-n1 running', 'home-n2 aside off', 'home-n3 running', 'home-n4 running'],
    );
    const theirs = vms.flatMap(({ id, path, disks }) => [
      ...disks,
      join(path, 'Virtual Machines', `${id.toUpperCase()}.vmcx`),
    ]);
    // The bridge removes a seed that was read, but looks only once a minute.
    const seed = (file: string) => /home-n4-[0-9a-f-]+\/seed\.iso$/.test(file);
    assert.deepEqual(
      files()
        .filter((file) => !seed(file))
        .sort(),
      theirs.sort(),
    );
  });

  it('says which engine it was, and that reads shared one process', async () => {
    const { lab } = session;
    const named = (name: string) => lab.components.find((one) => one.name === name) ?? assert.fail(name);
    const component = named('PowerShell engine');
    assert.deepEqual([component.real, component.version], [true, engine().version]);
    const [starts, cmdlets] = [await component.calls(), await named('Hyper-V module').calls()];
    assert.ok(starts > 0 && cmdlets > 20 * starts, `${starts} starts for ${cmdlets} cmdlets`);
  });

  it('never ran more than one VM above steady, and lost no request', async () => {
    const { requests, failures } = await session.traffic();
    assert.deepEqual(failures, []);
    assert.equal(requests.failed, 0);
    assert.ok(requests.total > 500, `${requests.total} requests`);
    assert.equal(session.lab.world.hosts.peak(), session.lab.example.nodes.length + 1);
  });

  it('ends every process of the engine with the lab', async () => {
    const { dir } = session.lab;
    await endAll();
    assert.deepEqual(processesIn(dir), []);
  });

  /** Below the folder of the VMs. */
  function files(): string[] {
    const root = join(session.lab.dir, 'hosts', 'hyperv1', 'host', 'vms');
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  }
});

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!holds()) {
    assert.ok(Date.now() < end, `never: ${what}`);
    await pause(LOOK_MS);
  }
}

/** Pids whose environment names this folder. */
function processesIn(dir: string): string[] {
  if (!existsSync('/proc/self/environ')) return [];
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(dir);
    } catch {
      return false;
    }
  });
}
