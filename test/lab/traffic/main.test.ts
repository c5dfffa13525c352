import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TrafficLine } from '../../../lab/traffic/run.ts';
import { percentile, statistics } from '../../../lab/traffic/statistics.ts';
import { portOf, sleep } from './servers.ts';

describe("the traffic's process", () => {
  for (const end of ['SIGTERM', 'the end of stdin'] as const) {
    it(`prints statistics while it runs, and its result at ${end}`, async () => {
      const dir = await mkdtemp(join(tmpdir(), 'traffic-'));
      const server = createServer((_, answer) => answer.setHeader('x-served-by', 'n1').end('ok'));
      const http = { address: '127.0.0.1', port: await portOf(server), host: 'app.home' };
      await writeFile(join(dir, 'c.json'), JSON.stringify({ http, statsEveryMs: 50 }));
      const child = spawn(process.execPath, ['--import', 'tsx', 'lab/traffic/main.ts', join(dir, 'c.json')], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      while (!text.includes('"stats"')) await sleep(20);
      await sleep(500);
      if (end === 'SIGTERM') child.kill('SIGTERM');
      else child.stdin.end();
      const [code] = await once(child, 'close');
      server.closeAllConnections();
      server.close();
      await rm(dir, { recursive: true });
      assert.equal(code, 0);
      const lines = text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as TrafficLine);
      const result = lines.at(-1);
      assert.ok(result?.kind === 'result' && result.requests.total > 10 && result.requests.failed === 0);
      assert.ok(lines.filter((line) => line.kind === 'stats').length > 5);
    });
  }
});

describe('the statistics', () => {
  it('rank a percentile by the nearest value', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    assert.deepEqual(
      [percentile(hundred, 0.5), percentile(hundred, 0.99), percentile([], 0.99)],
      [50, 99, 0],
    );
  });

  it('show seconds in which nothing was asked', () => {
    const counted = statistics();
    for (const startedMs of [1_200, 4_900]) {
      counted.add({ class: 'http', startedMs, endedMs: startedMs + 5, result: 'ok', target: 'GET a' });
    }
    assert.deepEqual(
      counted.result().perSecond.map(({ t, ok }) => [t, ok]),
      [
        [1_000, 1],
        [2_000, 0],
        [3_000, 0],
        [4_000, 1],
      ],
    );
  });
});
