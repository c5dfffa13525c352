/** One small proxy with two nodes behind it and a steady stream of requests, for the figures of the edges. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../lab/servers/proxy/child.ts';
import { startProxy } from '../lab/servers/proxy/proxy.ts';
import type { RunningProxy } from '../lab/servers/proxy/proxy.ts';

export const OLD = '127.0.0.11';
export const NEW = '127.0.0.13';
const OTHER = '127.0.0.12';
const ASK_EVERY_MS = 20;

export interface EdgeWorld {
  dir: string;
  proxy: RunningProxy;
  /** Where users come in. */
  url: string;
  /** The file of the upstream, and what it says with these servers. */
  file: string;
  text(addresses: readonly string[]): string;
  /** Requests since the last call, and how many of them failed. */
  requests(): { total: number; failed: number };
}

export async function withEdge<T>(work: (world: EdgeWorld) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-edge-'));
  const nodes: Server[] = [];
  let backend = 0;
  for (const address of [OLD, OTHER, NEW]) {
    const node = createServer((_request, response) => response.end(address));
    await new Promise<void>((resolve) => node.listen(backend, address, resolve));
    backend = (node.address() as AddressInfo).port;
    nodes.push(node);
  }
  const front = await freePort('127.0.0.1');
  const url = `http://127.0.0.1:${front}/`;
  const text = (addresses: readonly string[]) =>
    `upstream web {\n${addresses.map((address) => `    server ${address}:${backend};\n`).join('')}}\nserver { listen 127.0.0.1:${front}; location / { proxy_pass http://web; } }\n`;
  const proxy = await startProxy({
    ...{ dir, address: '127.0.0.1', sshPort: 0, useNginx: 'real', useSshd: 'real' },
    ...{ http: { 'web.conf': text([OLD, OTHER]) }, stream: {} },
  });
  let [total, failed] = [0, 0];
  const timer = setInterval(() => {
    total += 1;
    fetch(url, { headers: { connection: 'close' } })
      .then(async (response) => {
        await response.arrayBuffer();
        if (!response.ok) failed += 1;
      })
      .catch(() => (failed += 1));
  }, ASK_EVERY_MS);
  try {
    return await work({
      ...{ dir, proxy, url, text, file: proxy.nginx.files[0] ?? '' },
      requests() {
        const seen = { total, failed };
        [total, failed] = [0, 0];
        return seen;
      },
    });
  } finally {
    clearInterval(timer);
    await proxy.stop();
    for (const node of nodes) {
      node.closeAllConnections();
      node.close();
    }
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Until what users get comes from this address and not from that one. */
export async function untilServed(url: string, wanted: string, gone: string): Promise<void> {
  const seen: string[] = [];
  const until = performance.now() + 10_000;
  while (!seen.includes(wanted) || seen.slice(-8).includes(gone)) {
    if (performance.now() > until)
      throw new Error(`${url} is not served by ${wanted}: ${seen.slice(-8).join(' ')}`);
    seen.push(await (await fetch(url, { headers: { connection: 'close' } })).text());
  }
}
