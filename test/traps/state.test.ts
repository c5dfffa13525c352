/** rke's state file: what it takes for none, for its own, and how it leaves it. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recoverState } from '../../cycle/acts/rke.ts';
import { rkeUp } from '../../cycle/cluster/rke/driver.ts';
import { compareStates, mustReadState, readClusterCopy, readState } from '../../cycle/cluster/rke/state.ts';
import { readIntent } from '../../cycle/observe.ts';
import { SMALL } from '../../lab/example.ts';
import { CWD } from '../lab/world/rke/cluster.ts';
import { EXISTING, judged, openSignal, trapCluster, type TrapCluster } from './cluster.ts';
import { prove, type TrapName } from './table.ts';

const WAIT = { deadlineMs: 5_000 };

describe('rke and its state file', function () {
  this.timeout(20_000);
  let cluster: TrapCluster;
  afterEach(() => cluster.close());
  const make = async (...args: Parameters<typeof trapCluster>) => (cluster = await trapCluster(...args));
  const ca = () =>
    Buffer.from(cluster.machine(0).files.get('/etc/kubernetes/ssl/kube-ca.pem') ?? '').toString();
  const asked = () =>
    cluster.ctx.cluster.state().then(
      () => ['read'],
      (error: unknown) => [String(error)],
    );

  const broken = (name: TrapName, spoil: (text: string) => string, destroys: boolean) =>
    prove(name, async () => {
      await make(SMALL);
      const before = ca();
      const text = spoil(cluster.text('cluster.rkestate'));
      cluster.put('cluster.rkestate', text);
      writeFileSync(join(cluster.workDir, 'cluster.rkestate'), text);
      // Every client of ours opens with the state, so nothing at all can be asked, let alone run.
      const reading = readState(text);
      const ours = [...(await asked()), reading.ok ? 'ok' : reading.problem];
      const run = await cluster.up();
      assert.equal(ca() !== before, destroys, 'the CA on the live cluster');
      return { naive: run, ours };
    });
  broken('emptyState', () => '', true);
  broken('junkState', () => 'not json at all', true);
  broken('truncatedState', (text) => text.slice(0, text.length / 2), true);
  broken('emptyObject', () => '{}', false);

  prove('noState', async () => {
    await make(SMALL, { program: true });
    const good = cluster.text('cluster.rkestate');
    const seen = await readIntent(cluster.ctx, openSignal());
    assert.equal(seen.text, cluster.example.clusterYml);
    await recoverState(cluster.ctx, openSignal());
    const recovered = readFileSync(join(cluster.workDir, 'cluster.rkestate'), 'utf8');
    assert.deepEqual(compareStates(mustReadState(recovered, 'recovered'), mustReadState(good, 'good')), []);
    const before = ca();
    cluster.files.delete(`${CWD}/cluster.rkestate`);
    cluster.files.delete(`${CWD}/kube_config_cluster.yml`);
    const run = await cluster.up();
    assert.notEqual(ca(), before);
    return { naive: run, ours: ['recovered', ...judged(run, EXISTING)] };
  });

  prove('foreignState', async () => {
    const other = await trapCluster(SMALL);
    const theirs = other.text('cluster.rkestate');
    await other.close();
    await make(SMALL);
    // Same names, same addresses, as of a cluster that stood here before; only the CA is another.
    const foreign = theirs.replaceAll(other.example.base, cluster.example.base);
    const before = ca();
    await cluster.look();
    const copy = await readClusterCopy(await cluster.ctx.cluster.kube(), WAIT);
    const found = compareStates(mustReadState(foreign, 'foreign'), mustReadState(copy ?? '', 'copy'));
    cluster.put('cluster.rkestate', foreign);
    const refused = await cluster.ours({}).catch((error: unknown) => [String(error)]);
    const run = await cluster.up();
    assert.notEqual(ca(), before);
    return { naive: run, ours: [...found.map(({ code, message }) => `${code} ${message}`), ...refused] };
  });

  prove('openState', async () => {
    await make(SMALL, { program: true });
    await cluster.look();
    const state = join(cluster.workDir, 'cluster.rkestate');
    rmSync(state);
    writeFileSync(state, cluster.text('cluster.rkestate'), { mode: 0o644 });
    const result = await rkeUp({
      ...cluster.ctx.rke,
      ports: cluster.ctx.ports,
      sshAuthSock: await cluster.agent(),
      expectation: EXISTING,
      deadlineMs: 10_000,
    });
    assert.equal(statSync(state).mode & 0o777, 0o644, 'as rke leaves it');
    const mode = (path: string) => (statSync(path).mode & 0o777).toString(8).padStart(4, '0');
    // Ours is never made any other way: what is recovered is 0600, and rke keeps that.
    rmSync(state);
    await recoverState(cluster.ctx, openSignal());
    const run = { code: result.exitCode, stdout: result.lines, stderr: [] };
    return { naive: run, ours: [`recovered ${mode(state)}`, `backup ${mode(result.backup ?? '')}`] };
  });
});
