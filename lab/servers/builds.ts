/** The one question that tasks ask the service itself: has that run ended? */
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface BuildService {
  /** Organisation's URL, as the agent names it. */
  url: string;
  begin(run: string): void;
  end(run: string): void;
  close(): Promise<void>;
}

export async function serveBuilds(token: string): Promise<BuildService> {
  const runs = new Map<string, 'inProgress' | 'completed'>();
  const server = http.createServer((request, response) => {
    const run = /\/_apis\/build\/builds\/([^/?]+)/.exec(request.url ?? '')?.[1];
    const status = run === undefined ? undefined : runs.get(run);
    if (request.headers.authorization !== `Bearer ${token}`) response.writeHead(401).end();
    else if (status === undefined) response.writeHead(404).end();
    else
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ id: Number(run), status }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/lab`,
    begin: (run) => void runs.set(run, 'inProgress'),
    end: (run) => void runs.set(run, 'completed'),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
