import assert from 'node:assert/strict';
import { argoSyncPatch, judgeSync, revisionsOf } from '../../../../cycle/edge/gitops/sync.ts';
import type { ArgoApplication, FluxKustomization } from '../../../../cycle/edge/gitops/sync.ts';

const [OLD, OURS, LATER] = ['a', 'b', 'c'].map((letter) => letter.repeat(40)) as [string, string, string];
const contains = (revision: string) => revision === LATER;

const app = (
  more: ArgoApplication['status'] = {},
  spec: ArgoApplication['spec'] = { syncPolicy: { automated: {} } },
) => ({
  tool: 'argocd' as const,
  name: 'ingress',
  application: {
    spec,
    status: { sync: { status: 'Synced', revision: OURS }, health: { status: 'Healthy' }, ...more },
  },
});
const argo = (...args: Parameters<typeof app>) => {
  const judged = judgeSync(app(...args), OURS, contains);
  return judged.synced ? 'synced' : judged.reason;
};
const flux = (status: FluxKustomization['status'], more: Partial<FluxKustomization> = {}) => {
  const kustomization = { metadata: { generation: 3 }, status, ...more };
  const judged = judgeSync({ tool: 'flux', name: 'infra', kustomization }, OURS, contains);
  return judged.synced ? 'synced' : judged.reason;
};
const ready = [{ type: 'Ready', status: 'True' }];

describe('a commit that the cluster is to run', () => {
  it('is there without a tool to ask', () =>
    assert.deepEqual(judgeSync({ tool: 'none' }, OURS, contains), { synced: true }));

  it('is there when Argo CD is at it, or at a descendant of it', () => {
    assert.equal(argo(), 'synced');
    assert.equal(argo({ sync: { status: 'Synced', revision: LATER } }), 'synced');
  });
  it('is not there when Argo CD is synced and healthy on the revision before', () => {
    assert.match(argo({ sync: { status: 'Synced', revision: OLD } }), /is at aaaaaaaaaa, not at bbbbbbbbbb/);
    assert.match(argo({ sync: { status: 'Synced' } }), /no revision/);
  });
  it('is not there while Argo CD is out of sync, running, failed or unhealthy', () => {
    assert.match(argo({ sync: { status: 'OutOfSync', revision: OURS } }), /OutOfSync/);
    assert.match(argo({ operationState: { phase: 'Running' } }), /running/);
    assert.match(
      argo({ operationState: { phase: 'Failed', message: 'webhook says no' } }),
      /webhook says no/,
    );
    assert.match(argo({ health: { status: 'Degraded', message: 'pod crashes' } }), /Degraded: pod crashes/);
    assert.match(argo({ conditions: [{ type: 'ComparisonError', message: 'bad chart' }] }), /bad chart/);
    assert.match(argo({ health: {} }), /unknown health/);
  });
  it('has to be asked for when auto-sync is off', () => {
    const judged = judgeSync(app({ sync: { status: 'OutOfSync', revision: OURS } }, {}), OURS, contains);
    assert.deepEqual(judged, {
      synced: false,
      reason: 'Application ingress is OutOfSync, and auto-sync is off',
      request: true,
    });
    assert.deepEqual(argoSyncPatch(OURS, { spec: {} }), {
      operation: { initiatedBy: { username: 'node-cycle' }, sync: { revision: OURS } },
    });
  });
  it('is looked for in the source that is our repository', () => {
    const spec = {
      sources: [{ repoURL: 'https://charts' }, { repoURL: 'https://git/x.git' }],
      syncPolicy: { automated: {} },
    };
    const observed = (revisions: string[]) => ({
      ...app({ sync: { status: 'Synced', revisions } }, spec),
      repository: 'https://git/X/',
    });
    assert.deepEqual(judgeSync(observed(['4.11.2', LATER]), OURS, contains), { synced: true });
    assert.equal(judgeSync(observed([OURS, OLD]), OURS, contains).synced, false);
    assert.deepEqual(revisionsOf(observed(['4.11.2', LATER])), [LATER]);
  });
  it('is not there when the Application is not', () => {
    const judged = judgeSync({ tool: 'argocd', name: 'x', application: undefined }, OURS, contains);
    assert.ok(!judged.synced && /no Application x/.test(judged.reason));
  });

  it('is there when Flux has applied it, in both ways of writing revisions', () => {
    for (const lastAppliedRevision of [`main@sha1:${OURS}`, `main/${LATER}`]) {
      assert.equal(flux({ lastAppliedRevision, observedGeneration: 3, conditions: ready }), 'synced');
    }
  });
  it('is not there while Flux is behind, failing, suspended or has not seen its own change', () => {
    const at = `main@sha1:${OURS}`;
    assert.match(
      flux({ lastAppliedRevision: `main@sha1:${OLD}`, observedGeneration: 3, conditions: ready }),
      /has applied aaaaaaaaaa/,
    );
    assert.match(
      flux({
        lastAppliedRevision: `main@sha1:${OLD}`,
        lastAttemptedRevision: at,
        conditions: [{ type: 'Ready', status: 'False', message: 'dry run failed' }],
      }),
      /bbbbbbbbbb failed: dry run failed/,
    );
    assert.match(
      flux({ lastAppliedRevision: at, observedGeneration: 2, conditions: ready }),
      /latest generation/,
    );
    assert.match(flux({ lastAppliedRevision: at, observedGeneration: 3, conditions: [] }), /not ready/);
    assert.match(
      flux(
        { lastAppliedRevision: at, observedGeneration: 3, conditions: ready },
        { spec: { suspend: true } },
      ),
      /suspended/,
    );
    assert.match(flux(undefined), /no revision/);
  });
});
