/**
 * What every driver must hold to, in the words of the cycle: a new driver calls `driverContract` with a cluster of its
 * own to try it on, simulated or real, and passes.
 */
import assert from 'node:assert/strict';
import type { ClusterDriver, ClusterRole, DriverNode, JoiningNode } from '../../../cycle/cluster/driver.ts';

/** A cluster of three members of etcd that is healthy, and a machine beside it that is ready to join. */
export interface DriverWorld {
  driver: ClusterDriver;
  /** All nodes of the cluster, before anything is done. */
  present: readonly DriverNode[];
  newcomer: JoiningNode;
  /** One of `present` with all three roles. */
  leaving: DriverNode;
  /** As Kubernetes and etcd say it themselves, without the driver. */
  nodes(): Promise<string[]>;
  members(): Promise<string[]>;
  /** Everything that the driver may change, in one text: its own records and the cluster's. */
  fingerprint(): Promise<string>;
  /** A member of etcd that stays falls silent. */
  fallIll(): Promise<void>;
  /** The driver's program will say that it removed the member of this node, and will not have. */
  lie(node: DriverNode): void;
  /** The machine is cut off for good; ends when the others have noticed. */
  kill(node: DriverNode): Promise<void>;
  /** The signal fires in the middle of the driver's next work. */
  cutOff(): AbortSignal;
  close(): Promise<void>;
}

export function driverContract(kind: string, make: () => Promise<DriverWorld>): void {
  describe(`the driver ${kind}`, function () {
    this.timeout(60_000);
    const { signal } = new AbortController();
    let world: DriverWorld;
    let driver: ClusterDriver;
    beforeEach(async () => {
      world = await make();
      driver = world.driver;
    });
    afterEach(() => world.close());

    const names = (nodes: readonly { name: string }[]) => nodes.map(({ name }) => name).sort();
    const without = (node: DriverNode) => world.present.filter(({ name }) => name !== node.name);
    const leaving = (dead = false) => ({ ...world.leaving, dead });
    const isSo = async (nodes: readonly DriverNode[]) =>
      assert.deepEqual(await driver.verify(nodes, signal), []);
    async function changesNothing(act: () => Promise<unknown>): Promise<void> {
      const before = await world.fingerprint();
      await act();
      assert.equal(await world.fingerprint(), before);
    }

    it('calls itself by its kind, and finds a healthy cluster fit without changing it', async () => {
      assert.equal(driver.kind, kind);
      await changesNothing(async () => {
        assert.deepEqual(await driver.preflight(undefined, signal), []);
        assert.deepEqual(await driver.preflight(leaving(), signal), []);
        await isSo(world.present);
      });
    });

    it('finds nothing fit while a member of etcd is silent, and says which', async () => {
      await world.fallIll();
      await changesNothing(async () => {
        const found = await driver.preflight(leaving(), signal);
        assert.ok(found.length > 0);
        assert.ok(found.every(({ code, message }) => /^NC\d{4}$/.test(code) && message.length > 10));
      });
    });

    it('refuses by itself to take a member while another is silent', async () => {
      await world.fallIll();
      await changesNothing(() => assert.rejects(driver.leave(leaving(), signal)));
    });

    it('takes a checked snapshot off the nodes', async () => {
      const taken = await driver.snapshot(signal);
      assert.match(taken.sha256, /^[0-9a-f]{64}$/);
      assert.match(taken.revision, /^[1-9]\d*$/);
      assert.ok(taken.sizeBytes > 0 && taken.path.startsWith('/'));
    });

    it('lets a node join with its roles, once', async () => {
      await driver.join(world.newcomer, signal);
      const all = [...world.present, world.newcomer];
      assert.deepEqual((await world.nodes()).sort(), names(all));
      await isSo(all);
      await changesNothing(() => driver.join(world.newcomer, signal));
    });

    it('lets a node join that was cut off in the middle of it', async () => {
      await assert.rejects(driver.join(world.newcomer, world.cutOff()));
      await driver.join(world.newcomer, signal);
      await isSo([...world.present, world.newcomer]);
    });

    it('takes single roles where it can, never the last one, and only then has the act for it', async function () {
      const { dropRole } = driver;
      if (dropRole === undefined) return;
      const node = world.leaving;
      const kept = (gone: ClusterRole[]) => ({
        ...node,
        roles: node.roles.filter((role) => !gone.includes(role)),
      });
      await dropRole(node, 'controlplane', signal);
      await isSo([kept(['controlplane']), ...without(node)]);
      await changesNothing(() => dropRole(node, 'controlplane', signal));
      await dropRole(node, 'etcd', signal);
      await isSo([kept(['controlplane', 'etcd']), ...without(node)]);
      assert.ok((await world.nodes()).includes(node.name), 'the node stays');
      const last = world.present.find(({ roles }) => roles.length === 1 && roles[0] !== 'worker');
      if (last !== undefined)
        await changesNothing(() =>
          assert.rejects(dropRole(last, last.roles[0] === 'etcd' ? 'etcd' : 'controlplane', signal)),
        );
    });

    it('lets a node leave whole, once', async () => {
      await driver.leave(leaving(), signal);
      assert.deepEqual((await world.nodes()).sort(), names(without(world.leaving)));
      assert.equal((await world.members()).length, 2);
      await isSo(without(world.leaving));
      await changesNothing(() => driver.leave(leaving(), signal));
    });

    it('lets a node leave that was cut off in the middle of it', async () => {
      await assert.rejects(driver.leave(leaving(), world.cutOff()));
      await driver.leave(leaving(), signal);
      await isSo(without(world.leaving));
    });

    it('lets a dead node leave whole', async () => {
      await world.kill(world.leaving);
      await driver.leave(leaving(true), signal);
      await isSo(without(world.leaving));
    });

    it('verifies by the cluster and not by what its program says', async () => {
      world.lie(world.leaving);
      await driver.leave(leaving(), signal).catch(() => undefined);
      const found = await driver.verify(without(world.leaving), signal);
      assert.ok(
        found.some(({ message }) => message.includes(world.leaving.name)),
        JSON.stringify(found),
      );
    });

    it('says what is missing and what is too much', async () => {
      const stranger: DriverNode = { name: 'stranger', address: '192.0.2.99', roles: ['worker'] };
      const found = await driver.verify([...without(world.leaving), stranger], signal);
      for (const name of ['stranger', world.leaving.name])
        assert.ok(
          found.some(({ message }) => message.includes(name)),
          name,
        );
    });
  });
}
