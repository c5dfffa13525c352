/** What vm.requireNewer asks for: by the image before, by the node itself before it joins. */
import assert from 'node:assert/strict';
import type { NodeEvidence } from '../../../cycle/evidence/read.ts';
import { imageIsNewer, whyNotNewer } from '../../../cycle/plan/newer.ts';
import { planProvision } from '../../../cycle/steps/provision-node.ts';
import type { PlanWorld } from '../../../cycle/steps/plan-cycle.ts';
import { isRefusal } from '../../../cycle/step.ts';
import { begun, noActs, travel, withFacts } from '../journey.ts';
import { configOf, worldOf } from '../world.ts';

const APRIL = '2026-04-01T00:00:00.000Z';
const MAY = '2026-05-01T00:00:00.000Z';
const JUNE = '2026-06-01T00:00:00.000Z';
const says = (securityUpdates: number | 'unknown'): NodeEvidence => ({
  ...{ os: 'Ubuntu', osVersion: '22.04', kernel: '5.15', openssl: 'OpenSSL 3.0.2', runtime: 'docker 20.10' },
  ...{ bootedAt: JUNE, securityUpdates, securityUpdatesBy: 'apt-get' },
});

describe('A newer image', () => {
  it('was built after the one of the old node', () => {
    assert.equal(imageIsNewer(JUNE, { imageBuiltAt: MAY, createdAt: MAY }), true);
    assert.equal(imageIsNewer(MAY, { imageBuiltAt: MAY, createdAt: JUNE }), false);
    assert.equal(imageIsNewer(APRIL, { imageBuiltAt: MAY, createdAt: JUNE }), false);
  });

  it('is newer than that of an adopted VM when it was built after the VM, and cannot be told otherwise', () => {
    assert.equal(imageIsNewer(JUNE, { createdAt: MAY }), true);
    assert.equal(imageIsNewer(APRIL, { createdAt: MAY }), undefined);
    assert.equal(imageIsNewer(undefined, { createdAt: MAY }), undefined);
    assert.equal(imageIsNewer(JUNE, undefined), undefined);
  });
});

describe('A new node', () => {
  const old = { imageBuiltAt: MAY, createdAt: MAY };

  it('may join when its image is newer, whatever is pending, or when nothing is pending', () => {
    assert.equal(whyNotNewer({ imageBuiltAt: JUNE }, old, says('unknown')), undefined);
    assert.equal(whyNotNewer({ imageBuiltAt: JUNE }, old, says(12)), undefined);
    assert.equal(whyNotNewer({ imageBuiltAt: APRIL }, old, says(0)), undefined);
  });

  it('may not when neither is proven: unknown confirms nothing', () => {
    for (const pending of [3, 'unknown'] as const)
      assert.deepEqual(whyNotNewer({ imageBuiltAt: MAY }, old, says(pending)), [
        `image of the new node: ${MAY}`,
        `image of the old node: ${MAY}`,
        `security updates pending: ${pending} (apt-get)`,
      ]);
    assert.ok(
      whyNotNewer({}, { createdAt: MAY }, says('unknown'))?.includes('image of the new node: unknown'),
    );
  });
});

describe('vm.requireNewer in ProvisionNode', () => {
  const config = configOf();
  const start = begun(config, worldOf(config));
  const PAIR = { leaving: 'home-n1', staying: 'home-n5' };
  const whole = travel(config, { ...PAIR, dead: false }, start);
  const step = whole.actions.findIndex(({ id }) => id === 'node.evidence home-n5');
  const plan = (world: PlanWorld, of = config) => planProvision(of, PAIR, noActs(), world);
  /** Provisioned from an image of `builtAt`, and asked. */
  const booted = (builtAt: string, evidence: NodeEvidence | undefined): PlanWorld => {
    const world = whole.worlds[step] ?? assert.fail();
    return {
      ...world,
      vms: world.vms.map((vm) => (vm.marker?.node === 'home-n5' ? { ...vm, imageBuiltAt: builtAt } : vm)),
      evidence: evidence === undefined ? {} : { '10.0.0.60': evidence },
    };
  };

  it('asks the node before it is judged', () => {
    const planned = plan(booted(APRIL, undefined));
    assert.deepEqual(!isRefusal(planned) && planned.map(({ id }) => id), ['node.evidence home-n5']);
  });

  it('lets a newer or an updated node through', () => {
    assert.deepEqual(plan(booted(JUNE, says('unknown'))), []);
    assert.deepEqual(plan(booted('2026-01-01T00:00:00.000Z', says(0))), []);
  });

  it('refuses one that is neither, before it joins; not when it was switched off', () => {
    const stale = booted('2026-01-01T00:00:00.000Z', says(4));
    const refused = plan(stale);
    assert.ok(isRefusal(refused));
    assert.equal(refused.code, 'NC1227');
    assert.match(refused.evidence.join('\n'), /security updates pending: 4/);
    assert.deepEqual(plan(stale, configOf({ vm: { ...config.vm, requireNewer: false } })), []);
  });

  it('says nothing more once the node has joined, and nothing on the way back', () => {
    const joined =
      whole.worlds[whole.actions.findIndex(({ id }) => id === 'rke up add home-n5')] ?? assert.fail();
    assert.deepEqual(plan({ ...joined, evidence: { '10.0.0.60': says(9) } }), []);
    const stale = booted('2026-01-01T00:00:00.000Z', undefined);
    const back = withFacts(stale, { ...stale.facts, direction: 'back' });
    const returned = planProvision(config, { leaving: 'home-n5', staying: 'home-n1' }, noActs(), back);
    assert.deepEqual(returned, []);
  });
});
