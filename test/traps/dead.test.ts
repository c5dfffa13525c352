/** Hosts that rke cannot reach, or should not have reached. */
import assert from 'node:assert/strict';
import { missingFromState } from '../../cycle/cluster/rke/state.ts';
import { whyNodeStays } from '../../cycle/plan/leaving.ts';
import { whyNotServing } from '../../cycle/steps/rke-add-node.ts';
import { rkeUp } from '../../cycle/cluster/rke/driver.ts';
import { SMALL, type ExampleShape } from '../../lab/example.ts';
import { makeSshKeyPair } from '../../lab/ssh-key.ts';
import { eventually } from '../lab/world/cluster.ts';
import { EXISTING, judged, trapCluster, type Seen, type TrapCluster } from './cluster.ts';
import { prove } from './table.ts';

/** One server that stays, an etcd host, and one node of these roles. */
const third = (roles: ExampleShape['nodes'][number]['roles']): ExampleShape => ({
  cluster: 'home',
  nodes: [
    { roles: ['controlplane', 'etcd', 'worker'], ageDays: 10 },
    { roles: ['etcd', 'worker'], ageDays: 10 },
    { roles, ageDays: 10 },
  ],
});

describe('rke and hosts that are not as they should be', function () {
  this.timeout(20_000);
  let cluster: TrapCluster;
  afterEach(() => cluster.close());
  const make = async (...args: Parameters<typeof trapCluster>) => (cluster = await trapCluster(...args));
  const lost = (seen: Seen) =>
    missingFromState(seen.state, {
      etcdMembers: seen.etcd.members.map(({ name }) => name),
      nodes: seen.kube.nodes.map(({ name, internalIp }) => ({ name, address: internalIp })),
    }).map(({ code, message }) => `${code} ${message}`);

  prove('firstRunEver', async () => {
    await make(SMALL, { established: false });
    await cluster.off(2);
    const run = await cluster.up();
    const seen = await cluster.look();
    const added = [0, 1, 2].map(cluster.address);
    return {
      naive: run,
      ours: [
        ...judged(run, { existingCluster: false, added }),
        whyNotServing(cluster.config, seen, 'home-n3', cluster.address(2), ['worker']) ?? 'serves',
      ],
    };
  });

  prove('firstRunNoLogin', async () => {
    await make(SMALL, { established: false });
    cluster.machine(2).authorizedKeys = [makeSshKeyPair().public];
    const before = await cluster.logins();
    const run = await cluster.up();
    assert.ok(!cluster.nodes().includes('home-n3'));
    return { naive: run, ours: [...before, ...judged(run, { existingCluster: false })] };
  });

  prove('failedThenRemoved', async () => {
    await make(third(['etcd', 'worker']), { workloads: true });
    await cluster.off(2);
    assert.equal((await cluster.up()).code, 1);
    cluster.put('cluster.yml', cluster.without(2));
    const run = await cluster.up();
    const seen = await cluster.look();
    const removed = {
      removed: [cluster.address(2)],
      membersRemoved: ['etcd-home-n3'],
      dead: [cluster.address(2)],
    };
    return {
      naive: run,
      ours: [
        ...judged(run, { ...EXISTING, ...removed }),
        whyNodeStays(seen, 'home-n3', cluster.address(2)) ?? 'gone',
        ...lost(seen),
        ...cluster.planLeave('node', seen, 'home-n3'),
      ],
    };
  });

  for (const [name, roles] of [
    ['removedDead', ['etcd', 'worker']],
    ['removedDeadControlplane', ['controlplane']],
  ] as const)
    prove(name, async () => {
      await make(third(roles));
      await cluster.off(2);
      cluster.put('cluster.yml', cluster.without(2));
      const run = await cluster.up();
      assert.ok(cluster.machine(2).containers.has('kubelet'), 'it runs on when its power comes back');
      const removed = { ...EXISTING, removed: [cluster.address(2)] };
      // Only a node whose VM the bridge calls off is declared dead; then this is expected, and noted.
      const declared = judged(run, { ...removed, dead: removed.removed });
      assert.equal(declared[0], 'judgeRun: succeeded');
      assert.match(declared.join(), /was not cleaned up, as it is dead/);
      return { naive: run, ours: judged(run, removed) };
    });

  prove('deadWorkerInFile', async () => {
    await make(third(['etcd', 'worker']));
    await cluster.off(2);
    const before = await cluster.preflight();
    const run = await cluster.up();
    return { naive: run, ours: [...before, ...judged(run, EXISTING), ...lost(await cluster.look())] };
  });

  prove('deadControlplaneInFile', async () => {
    await make(third(['controlplane']));
    await cluster.off(2);
    const before = await cluster.preflight();
    const run = await cluster.up();
    assert.deepEqual(lost(await cluster.look()), [], 'currentState still has it');
    return { naive: run, ours: [...before, ...judged(run, EXISTING)] };
  });

  prove('allowedUnavailable', async () => {
    await make(SMALL);
    await cluster.off(2);
    const yml = cluster.example.clusterYml;
    cluster.put('cluster.yml', yml.replace('max_unavailable_worker: "10%"', 'max_unavailable_worker: "2"'));
    const before = await cluster.preflight();
    const run = await cluster.up();
    assert.match(run.messages.at(-1) ?? '', /Provisioning incomplete/);
    return { naive: run, ours: [...before, ...judged(run, EXISTING)] };
  });

  prove('silentHost', async () => {
    await make(SMALL, { program: true });
    cluster.machine(1).ssh = 'silent';
    const before = await cluster.preflight();
    const gone = new AbortController();
    const waited = cluster.run(['up', '--ssh-agent-auth'], { signal: gone.signal });
    const ours = rkeUp({
      ...cluster.ctx.rke,
      ports: cluster.ctx.ports,
      sshAuthSock: await cluster.agent(),
      expectation: EXISTING,
      deadlineMs: 1_500,
    }).then(
      () => 'succeeded',
      (error: unknown) => String(error),
    );
    await eventually(() => cluster.processes() > 0, 'rke in its process');
    const said = await ours;
    const ended = await Promise.race([waited, Promise.resolve('nothing' as const)]);
    gone.abort();
    await waited;
    return {
      naive: ended,
      ours: [...before, said, cluster.processes() === 0 ? 'no rke left' : 'rke runs on'],
    };
  });

  prove('hostKeyChanged', async () => {
    await make(SMALL, { before: (one) => void (one.machine(1).sshHostKey = makeSshKeyPair()) });
    const before = await cluster.preflight();
    const run = await cluster.up();
    assert.equal(judged(run, EXISTING)[0], 'judgeRun: succeeded', 'rke itself tells nothing of it');
    return { naive: run, ours: before };
  });

  prove('wrongWords', async () => {
    await make(third(['worker']));
    cluster.put('cluster.yml', cluster.example.clusterYml.replaceAll('"2222"', '"2223"'));
    const before = await cluster.preflight();
    const run = await cluster.up();
    assert.match(run.stdout.join('\n'), /Is the docker daemon running/);
    return { naive: run, ours: [...before, ...judged(run, EXISTING)] };
  });

  prove('dockerIgnored', async () => {
    await make(SMALL);
    cluster.machine(0).dockerVersion = '28.2.2';
    cluster.put('cluster.yml', `${cluster.example.clusterYml}\nignore_docker_version: true\n`);
    const before = await cluster.preflight();
    const run = await cluster.up();
    return { naive: run, ours: [...before, ...judged(run, EXISTING)] };
  });
});
