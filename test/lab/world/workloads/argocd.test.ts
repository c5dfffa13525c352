import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { manualClock } from '../../../../lab/world/clock.ts';
import { REAL_KIND_MS } from '../../../../lab/world/timing.ts';
import { REFRESH, runArgo } from '../../../../lab/world/workloads/argocd.ts';
import { INGRESS } from '../../../../lab/world/workloads/manifests.ts';
import { testCluster } from '../cluster.ts';

describe('Argo CD in the lab', () => {
  it('shows the old revision as OutOfSync until the new one is applied, and looks only when told', async () => {
    const clock = manualClock(0);
    const { world } = testCluster({ clock });
    let tip = { revision: 'a'.repeat(40), externalIPs: ['127.0.0.1'] };
    const stop = runArgo(world, {
      namespace: 'argocd',
      application: 'ingress',
      tip: () => Promise.resolve(tip),
    });
    const status = () =>
      (
        world.kube.store.get('applications', 'ingress', 'argocd')?.['status'] as {
          sync: { status: string; revision: string };
        }
      ).sync;
    const addresses = () =>
      world.kube.store.get('services', INGRESS.service, INGRESS.namespace)?.spec.externalIPs;
    await clock.run(1_000);
    assert.deepEqual(status(), { status: 'Synced', revision: 'a'.repeat(40) });
    tip = { revision: 'b'.repeat(40), externalIPs: ['127.0.0.1', '127.0.0.2'] };
    await clock.run(5_000);
    assert.equal(status().revision, 'a'.repeat(40));
    world.kube.handle({
      method: 'PATCH',
      url: '/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/ingress',
      headers: { 'content-type': 'application/merge-patch+json' },
      body: JSON.stringify({ metadata: { annotations: { [REFRESH]: 'hard' } } }),
    });
    await clock.run(REAL_KIND_MS.argoSync - 100);
    assert.deepEqual(status(), { status: 'OutOfSync', revision: 'a'.repeat(40) });
    assert.deepEqual(addresses(), ['127.0.0.1']);
    await clock.run(200);
    assert.deepEqual(status(), { status: 'Synced', revision: 'b'.repeat(40) });
    assert.deepEqual(addresses(), ['127.0.0.1', '127.0.0.2']);
    assert.equal(
      world.kube.store.get('applications', 'ingress', 'argocd')?.metadata.annotations?.[REFRESH],
      undefined,
    );
    stop();
    world.close();
  });
});
