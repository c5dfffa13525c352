import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bundleSimulation } from '../../simulate/bundle.ts';
import { playInProcesses, type Played } from '../../simulate/processes.ts';
import { tally } from '../../simulate/report.ts';
import { ROOT } from '../pipelines/files.ts';

/** Enough seeds for most kinds of faults; what others break is in the run of `npm run simulate`. */
const FIRST = 100;
const SEEDS = Array.from({ length: 12 }, (_, at) => FIRST + at);
const TWICE = SEEDS.slice(0, 2);

describe('The simulation', function () {
  this.timeout(300_000);
  let dir = '';
  let played: Played[] = [];
  const play = (seeds: number[], jobs: number, without: string[] = []) =>
    playInProcesses({ bundle: join(dir, 'worker.mjs'), root: ROOT, jobs, without, all: false }, seeds);

  before(async () => {
    // Below the repository, so that the bundle finds the packages that it does not contain.
    mkdirSync(join(ROOT, 'dist'), { recursive: true });
    dir = mkdtempSync(join(ROOT, 'dist', 'simulate-test-'));
    await bundleSimulation(ROOT, join(dir, 'worker.mjs'));
    played = await play(SEEDS, 2);
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('plays every seed to a verdict without breaking an invariant', () => {
    assert.deepEqual(
      played.flatMap(({ seed, violations }) => violations.map((line) => `${seed} ${line}`)),
      [],
    );
    assert.deepEqual(
      played.map(({ seed }) => seed),
      SEEDS,
    );
  });

  it('finishes most cycles although much goes wrong', () => {
    const { counts } = tally(played);
    const finished = (counts['outcome']?.['finished'] ?? 0) + (counts['outcome']?.['went back'] ?? 0);
    assert.ok(finished >= SEEDS.length * 0.8, `${finished} of ${SEEDS.length} finished`);
    assert.ok(Object.keys(counts['fault'] ?? {}).length >= 15, JSON.stringify(counts['fault']));
  });

  it('tells the same story twice, in two processes', async () => {
    const again = await play(TWICE, 1);
    assert.deepEqual(
      again.map(({ hash, events }) => ({ hash, events })),
      played.slice(0, TWICE.length).map(({ hash, events }) => ({ hash, events })),
    );
  });

  it('tells another story when a fault is left out', async () => {
    const one = played.find(({ faults }) => faults.length > 1);
    assert.ok(one);
    const [first = ''] = one.faults;
    const [without] = await play([one.seed], 1, [first]);
    assert.ok(without && !without.faults.includes(first));
    assert.notEqual(without.hash, one.hash);
  });
});
