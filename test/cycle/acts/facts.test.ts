/** What the acts write onto the Lease: a change over the facts as they are, entry by entry. */
import assert from 'node:assert/strict';
import { writeFacts } from '../../../cycle/acts/facts.ts';
import { createKubeApi } from '../../../cycle/cluster/kubernetes/api.ts';
import { annotateLock, takeLock } from '../../../cycle/cluster/kubernetes/lease.ts';
import type { Context } from '../../../cycle/context.ts';
import { factsFromAnnotations, factsToAnnotations, NO_FACTS } from '../../../cycle/facts.ts';
import { readLockOf } from '../../../cycle/observe.ts';
import { clock } from '../../../ports/clock.ts';
import { kubeDouble } from '../cluster/kubernetes/kube-double.ts';
import { configOf, ME } from '../world.ts';

describe('The TTLs of aliases on the Lease', () => {
  it('are there one by one, and go one by one', async () => {
    const api = createKubeApi({ http: kubeDouble().http, clock }, { servers: ['https://a:6443'] });
    const wait = { deadlineMs: 1_000 };
    await takeLock(api, 'home', undefined, ME, 0, wait);
    const old = { name: 'home-n1', address: '10.0.0.11', roles: [] };
    await annotateLock(api, 'home', ME, 1, factsToAnnotations({ ...NO_FACTS, old }), wait);
    const ctx = {
      config: configOf(),
      me: ME,
      cluster: { kube: () => Promise.resolve(api) },
    } as unknown as Context;
    const { signal } = new AbortController();
    const written = async () => {
      const lock = await readLockOf(ctx, signal);
      return factsFromAnnotations(lock?.annotations ?? {}).ttls;
    };
    const lowered = (ttlSeconds: number) => ({ ttlSeconds, atMs: 1 });
    await writeFacts(ctx, { ttls: { 'cp-home': lowered(120) } }, signal);
    await writeFacts(ctx, { ttls: { apps: lowered(300) } }, signal);
    assert.deepEqual(await written(), { 'cp-home': lowered(120), apps: lowered(300) });
    await writeFacts(ctx, { ttls: { 'cp-home': undefined } }, signal);
    assert.deepEqual(await written(), { apps: lowered(300) });
    await writeFacts(ctx, { ttls: { apps: undefined } }, signal);
    assert.equal(await written(), undefined);
  });
});
