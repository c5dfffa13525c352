/** A script whose process ends after each cmdlet that changes something, in turn: the next call brings the host to the same end. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ScriptInput, ScriptName } from '../../agent-bridge/host/scripts.ts';
import { creation, ID, importing } from './creation.ts';
import { hostOnDisk, runCases } from './host.ts';
import type { Case, HostOnDisk } from './host.ts';
import type { PowerShell } from './engine.ts';
import { onPowerShell } from './suite.ts';

const AT_ONCE = 2;

interface Killed {
  host: HostOnDisk;
  /** The cmdlet after which the process ended. */
  after: string;
}

/** One host for each changing cmdlet of the script, killed after it. */
async function killedAfterEach<S extends ScriptName>(
  engine: PowerShell,
  script: S,
  given: (host: HostOnDisk) => ScriptInput<S>,
): Promise<Killed[]> {
  const whole = hostOnDisk(engine);
  const outcome = await whole.run(script, given(whole), 60_000);
  assert.ok(outcome.ok, JSON.stringify(outcome));
  const calls = whole.calls();
  whole.end();
  const killed: Killed[] = [];
  // After a cmdlet that only reads, the host is as it was before.
  const queue = calls.flatMap((call, index) => (call.startsWith('Get-') ? [] : [index + 1]));
  const work = async () => {
    for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
      const host = hostOnDisk(engine);
      const input = given(host);
      host.change((world) => (world.faults = [{ at: at, act: 'kill' }]));
      const ended = await host.run(script, input, 60_000);
      assert.deepEqual(
        [ended.ok, host.calls().length],
        [false, at],
        `${script} was to end after ${calls[at - 1]!}`,
      );
      host.change((world) => (world.faults = []));
      killed.push({ host, after: calls[at - 1]! });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return killed;
}

onPowerShell('A script that is killed after each cmdlet that changes something', (engine) => {
  let killed: Killed[] = [];
  afterEach(() => {
    for (const { host } of killed) host.end();
    killed = [];
  });
  const again = async <S extends ScriptName>(script: S, input: (host: HostOnDisk) => ScriptInput<S>) => {
    const outcomes = await runCases(
      engine(),
      killed.map(({ host }): Case => ({ host, script, input: input(host) as never })),
    );
    for (const [index, outcome] of outcomes.entries())
      assert.ok(outcome.ok, `after ${killed[index]!.after}: ${outcome.stderr}`);
    return outcomes;
  };

  it('leaves of a creation nothing that the clean-up of its folder does not remove', async () => {
    killed = await killedAfterEach(engine(), 'vm-create', (host) => creation(host, { differencing: true }));
    assert.ok(killed.length >= 11, String(killed.length));
    const folder = (host: HostOnDisk) => join(host.vmRoot, 'prod-n1');
    await again('vm-purge', (host) => {
      const left = host.world().vms[0];
      return { id: left?.id ?? null, folder: folder(host), disks: left?.disks ?? [], roots: [folder(host)] };
    });
    for (const { host, after } of killed) {
      assert.deepEqual(
        [host.world().vms, host.files()],
        [[], [join(host.imageRoot, 'ubuntu', '1.vhdx')]],
        after,
      );
      assert.ok(!existsSync(folder(host)), after);
    }
  });

  it('leaves of an import nothing that the clean-up of its folder does not remove', async () => {
    killed = await killedAfterEach(engine(), 'vm-import', importing);
    assert.ok(killed.length >= 15, String(killed.length));
    const folder = (host: HostOnDisk) => join(host.vmRoot, 'prod-n1');
    await again('vm-purge', (host) => {
      const left = host.world().vms[0];
      return { id: left?.id ?? null, folder: folder(host), disks: left?.disks ?? [], roots: [folder(host)] };
    });
    for (const { host, after } of killed) assert.deepEqual([host.world().vms, host.files()], [[], []], after);
  });

  it('ends a purge at the second call, with no disk left and none lost that was not ours', async () => {
    const given = (host: HostOnDisk): ScriptInput<'vm-purge'> => {
      const other = host.addVm({ id: '99999999-2222-4333-8444-555555555555', name: 'other' });
      const { disks, path } = host.addVm({
        id: ID,
        name: 'n1',
        state: 'Running',
        snapshots: [{ id: other.id, name: 's' }],
      });
      return { id: ID, folder: path, disks, roots: [host.vmRoot] };
    };
    killed = await killedAfterEach(engine(), 'vm-purge', given);
    await again('vm-purge', (host) => {
      const path = join(host.vmRoot, 'n1');
      return { id: ID, folder: path, disks: [join(path, 'system.vhdx')], roots: [host.vmRoot] };
    });
    for (const { host, after } of killed) {
      assert.deepEqual(
        host.world().vms.map(({ name }) => name),
        ['other'],
        after,
      );
      assert.deepEqual(
        host.files().filter((file) => file.endsWith('.vhdx')),
        [join(host.vmRoot, 'other', 'system.vhdx')],
        after,
      );
    }
  });

  it('sets a VM aside at the second call', async () => {
    const input = (host: HostOnDisk): ScriptInput<'vm-set-aside'> => ({
      id: ID,
      newName: 'n1-aside',
      folder: join(host.vmRoot, 'set-aside', ID),
      gracefulSeconds: 0,
    });
    killed = await killedAfterEach(
      engine(),
      'vm-set-aside',
      (host) => (host.addVm({ id: ID, name: 'n1', state: 'Running' }), input(host)),
    );
    await again('vm-set-aside', input);
    for (const { host, after } of killed) {
      const vm = host.world().vms[0]!;
      const folder = join(host.vmRoot, 'set-aside', ID);
      assert.deepEqual(
        [vm.state, vm.name, vm.path, vm.adapters[0]?.switch, vm['startAction']],
        ['Off', 'n1-aside', folder, null, 'Nothing'],
        after,
      );
      assert.ok(
        vm.disks.every((disk) => existsSync(disk)),
        after,
      );
    }
  });
});
