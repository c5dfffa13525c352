/** rke as a process: what it prints where, how it ends, and what else runs beside it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rkeUp, type RkeUpRequest } from '../../cycle/cluster/rke/driver.ts';
import { parseLine } from '../../cycle/cluster/rke/log.ts';
import { readState } from '../../cycle/cluster/rke/state.ts';
import { SMALL } from '../../lab/example.ts';
import { EXISTING, judged, naive, trapCluster, type TrapCluster } from './cluster.ts';
import { prove } from './table.ts';

const UP = ['up', '--ssh-agent-auth'];

describe('rke as a process', function () {
  this.timeout(20_000);
  let cluster: TrapCluster;
  afterEach(() => cluster.close());
  const make = async (...args: Parameters<typeof trapCluster>) => (cluster = await trapCluster(...args));
  const request = async (): Promise<RkeUpRequest> => ({
    ...cluster.ctx.rke,
    ports: cluster.ctx.ports,
    sshAuthSock: await cluster.agent(),
    expectation: EXISTING,
    deadlineMs: 15_000,
  });

  prove('twoAtOnce', async () => {
    await make(SMALL, { program: true });
    // Started in the same moment: two processes would now and then miss each other.
    const [one, other] = await Promise.all([cluster.up(), cluster.up()]);
    await cluster.look();
    const [good, bad] = naive(one) ? [one, other] : [other, one];
    assert.equal(naive(bad), false);
    const up = await request();
    const ours = await Promise.all(
      [up, up].map((each) =>
        rkeUp(each).then(
          ({ outcome }) => outcome.outcome,
          (error: unknown) => String(error),
        ),
      ),
    );
    assert.ok(ours.includes('succeeded'), ours.join());
    return { naive: good, ours: [...ours, ...judged(bad, EXISTING)] };
  });

  prove('killed', async () => {
    await make(SMALL, { program: true, pace: 0.3 });
    const sshAuthSock = await cluster.agent();
    const run = await cluster.spawn(UP, { sshAuthSock, killAt: 'Deploying kubernetes certificates' });
    assert.equal(run.signal, 'SIGTERM');
    assert.deepEqual(run.stderr, []);
    assert.doesNotMatch(run.stdout.join('\n'), /level=(?:fatal|warning)/);
    const left = readState(readFileSync(join(cluster.workDir, 'cluster.rkestate'), 'utf8'));
    assert.ok(left.ok);
    assert.equal(left.state.current.nodes.length, 3);
    assert.equal(naive(await cluster.up()), true, 'the next run repairs it');
    return { naive: run, ours: [...judged(run, EXISTING), 'state readable'] };
  });

  prove('quiet', async () => {
    await make(SMALL, { established: false });
    await cluster.off(2);
    const run = await cluster.run(['-q', ...UP]);
    assert.deepEqual([run.code, run.stdout, run.stderr], [0, [], []]);
    assert.ok(!cluster.nodes().includes('home-n3'), 'whoever trusts the exit code misses a node');
    return { naive: 'nothing', ours: judged(run, { existingCluster: false }) };
  });

  prove('quietFailure', async () => {
    await make(SMALL, { program: true });
    const run = await cluster.spawn(['-q', 'up', '--config', 'none.yml']);
    assert.deepEqual([run.code, run.stdout, run.stderr], [1, [], []]);
    return { naive: run, ours: judged(run, EXISTING) };
  });

  prove('terminal', async () => {
    await make(SMALL, { established: false });
    await cluster.off(2);
    const run = await cluster.run(UP, { tty: true });
    assert.match(run.stdout.join('\n'), /\u001b\[33mWARN\u001b\[0m\[\d{4}\] Removing host/);
    return { naive: run, ours: judged(run, { existingCluster: false }) };
  });

  prove('prompt', async () => {
    await make(SMALL, { program: true });
    const run = await cluster.spawn(['remove', '--ssh-agent-auth']);
    const last = run.stdout.at(-1) ?? '';
    assert.match(last, /^Are you sure .*\[y\/n\]: time="[^"]+" level=fatal msg=EOF$/);
    assert.ok(cluster.machine(0).containers.has('etcd'));
    const { level, message } = parseLine(last);
    return { naive: run, ours: [`${level} ${message}`] };
  });

  prove('panic', async () => {
    await make(SMALL, { program: true });
    cluster.put('cluster.yml', cluster.example.clusterYml.replace(/ssh_key_path:\s*\S+/, 'ssh_key_path: k'));
    cluster.put(
      'cluster.yml',
      cluster.text('cluster.yml').replace(/^ {6}user:/m, '      ssh_key_path: k\n      user:'),
    );
    const run = await cluster.spawn(UP);
    assert.equal(run.code, 2);
    assert.doesNotMatch(run.stdout.join('\n'), /panic|fatal/);
    return { naive: run, ours: judged(run, EXISTING) };
  });

  prove('unknownCommand', async () => {
    await make(SMALL, { program: true });
    const run = await cluster.spawn(['frobnicate']);
    assert.deepEqual([run.code, run.stdout], [3, []]);
    return { naive: run, ours: judged(run, EXISTING) };
  });

  prove('unknownProgram', async () => {
    await make(SMALL, { program: true, workloads: true });
    cluster.around.program = {
      version: 'v1.9.0',
      defaultKubernetes: 'v1.20.15-rancher2-1',
      knownVersions: ['v1.20.15-rancher2-1'],
    };
    const ours = await cluster.ours({});
    return { naive: await cluster.up(), ours };
  });

  it('is run and believed by our task when nothing is wrong', async () => {
    await make(SMALL, { program: true, workloads: true });
    assert.deepEqual(await cluster.ours({}), ['succeeded']);
  });
});
