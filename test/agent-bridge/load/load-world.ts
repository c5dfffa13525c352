/** A running bridge under load: what its callers got, as figures that a test judges and a proof prints. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bridgeClient } from '../../../agent-bridge/client/client.ts';
import type { BridgeClient } from '../../../agent-bridge/client/client.ts';
import { clock } from '../../../ports/clock.ts';
import { openHttp } from '../../../ports/http.ts';
import { PortError } from '../../../ports/ports.ts';
import type { Http } from '../../../ports/ports.ts';
import { random } from '../../../ports/random.ts';
import { Secret } from '../../../ports/secret.ts';
import { WAIT, foundVm, rig, vmId } from '../support/rig.ts';
import type { Enrolled, Rig } from '../support/rig.ts';
import { cuttingLine } from './cutting-line.ts';

export const stopParams = { cluster: 'prod', id: vmId(1), fence: 0 };
/** What the stand-in for PowerShell prints for each line of its chatter. */
const chatterLine = (n: number): string => `line ${String(n).padStart(8, '0')} ${'x'.repeat(40)}\n`;
const LONG = { deadlineMs: 280_000 };

/** A bridge with a running VM of agent-a. */
export async function loadWorld(): Promise<Rig> {
  const r = await rig();
  r.setVms([foundVm(1)]);
  assert.equal((await r.cli('bridge', 'adopt', '--cluster', 'prod', vmId(1), '--yes')).code, 0);
  await r.start();
  return r;
}

export const switchOn = (r: Rig): void => r.setVms(r.vms().map((vm) => ({ ...vm, state: 'running' })));
export const accepted = (r: Rig): number => r.log().match(/"event":"accepted"/g)?.length ?? 0;

export function enrolled(r: Rig, name = 'agent-a'): Enrolled {
  const mine = r.enrolled[name];
  assert.ok(mine);
  return mine;
}

function clientOver(r: Rig, http: Http, port = r.port, pauses = clock): BridgeClient {
  const { key: secret, ...rest } = enrolled(r);
  return bridgeClient({
    ...rest,
    ...{ http, clock: pauses, random, key: new Secret(secret) },
    url: `https://127.0.0.1:${port}`,
  });
}

export interface CutLog {
  bytes: number;
  /** Connections that were cut. */
  cuts: number;
  /** What was read is byte for byte what is stored. */
  isExact: boolean;
  /** What is stored is what the job's child wrote. */
  isWhole: boolean;
  seed: string;
}

/**
 * Reads the log of a job through a line that is cut at random, again and again until it was cut so often. The client's
 * reader reads while the log is written; the one that resumes `atTheByte` reads the same log afterwards and keeps what
 * it had of a cut answer.
 */
export async function cutLog(
  r: Rig,
  { mine, bytes: least, cuts: leastCuts }: { mine: string; bytes: number; cuts: number },
): Promise<{ client: CutLog; atTheByte: CutLog; isDone: boolean }> {
  const lines = Math.ceil(least / chatterLine(0).length);
  r.faults({ 'vm-stop': { chatter: lines } });
  switchOn(r);
  const seed = Buffer.from(random.bytes(4));
  let state = seed.readUInt32LE();
  // A linear congruence: a failure can be repeated by its seed.
  const chance = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const job = await r.client().submit('vm.stop', stopParams, mine, WAIT);
  const stored = () => readFileSync(join(r.dataDir, 'jobs', job.id, 'log'));
  const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

  async function until(read: (take: (chunk: Uint8Array) => void, port: number) => Promise<void>) {
    const line = await cuttingLine(r.port, chance);
    let isExact = true;
    let bytes = 0;
    try {
      do {
        const got = createHash('sha256');
        bytes = 0;
        const take = (chunk: Uint8Array) => {
          got.update(chunk);
          bytes += chunk.length;
        };
        await read(take, line.port);
        isExact &&= bytes >= least && got.digest('hex') === sha(stored());
      } while (line.cuts() < leastCuts);
    } finally {
      await line.close();
    }
    const written = Buffer.from(Array.from({ length: lines }, (_, n) => chatterLine(n)).join(''));
    const isWhole = stored().subarray(0, written.length).equals(written);
    return { bytes, cuts: line.cuts(), isExact, isWhole, seed: seed.toString('hex') };
  }

  const adapter = openHttp();
  // The pauses between tries are cut short: a thousand of them would be most of an hour.
  const hasty = {
    ...clock,
    sleep: (ms: number, signal?: AbortSignal) => clock.sleep(Math.min(ms, 1), signal),
  };
  try {
    return {
      client: await until((take, port) =>
        clientOver(r, adapter.http, port, hasty).readLog(job.id, 0, take, LONG),
      ),
      atTheByte: await until((take, port) => readAtTheByte(r, adapter.http, port, job.id, take)),
      isDone: (await r.client().waitFor(job, WAIT)).kind === 'done',
    };
  } finally {
    adapter.close();
  }
}

async function readAtTheByte(
  r: Rig,
  http: Http,
  port: number,
  id: string,
  take: (chunk: Uint8Array) => void,
): Promise<void> {
  const { cert, key: secret, serverPin } = enrolled(r);
  const tls = { cert, key: secret, pinSha256: serverPin.replaceAll(':', '').toLowerCase() };
  for (let at = 0; ;) {
    try {
      const url = `https://127.0.0.1:${port}/v1/jobs/${id}/log?offset=${at}&waitMs=1000`;
      const response = await http({ method: 'GET', url, headers: {}, tls, ...LONG });
      assert.equal(response.status, 200);
      for await (const chunk of response.body) {
        take(chunk);
        at += chunk.byteLength;
      }
      if (response.headers['x-log-end'] === '1') return;
    } catch (error) {
      if (!(error instanceof PortError)) throw error;
    }
  }
}

/** A hundred equal posts at once, over ten clients with connections of their own. */
export async function hundredPosts(r: Rig, mine: string) {
  const before = { accepted: accepted(r), runs: r.runs('vm-stop') };
  r.faults({});
  switchOn(r);
  const adapters = Array.from({ length: 10 }, () => openHttp());
  try {
    const clients = adapters.map(({ http }) => clientOver(r, http));
    const posts = Array.from({ length: 10 }, () => clients)
      .flat()
      .map((client) => client.submit('vm.stop', stopParams, mine, WAIT));
    const all = await Promise.all(posts);
    const [job] = all;
    assert.ok(job);
    const isDone = (await r.client().waitFor(job, WAIT)).kind === 'done';
    return {
      posts: all.length,
      jobs: new Set(all.map(({ id }) => id)).size,
      accepted: accepted(r) - before.accepted,
      runs: r.runs('vm-stop') - before.runs,
      isDone,
    };
  } finally {
    for (const adapter of adapters) adapter.close();
  }
}
