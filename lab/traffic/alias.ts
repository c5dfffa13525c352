/**
 * Requests by an alias. Two clients: one of the Kubernetes API, which tries every address of the alias and
 * repeats a read once; one of a plain page on the node that the alias points to, which does neither.
 */
import { request as httpsRequest } from 'node:https';
import { endpoint } from './config.ts';
import type { AliasClass, ApiClass, TrafficConfig } from './config.ts';
import { exchange } from './http.ts';
import { every, nowMs } from './pace.ts';
import type { Source } from './pace.ts';
import { cachingResolver } from './resolver.ts';
import type { Statistics } from './statistics.ts';

export function aliasTraffic(config: TrafficConfig, alias: AliasClass, statistics: Statistics): Source {
  const resolver = cachingResolver(alias.dnsServers, nowMs);
  return every(alias.perSecond, async () => {
    const startedMs = nowMs();
    const verdict = { class: 'alias' as const, startedMs };
    let target = `GET http://${alias.alias}:${alias.port}${alias.path}`;
    try {
      const [address = ''] = await resolver.addresses(alias.alias);
      target = `${target} at ${address}`;
      const where = endpoint(config, address, alias.port);
      const ask = { where, host: alias.alias, path: alias.path, method: 'GET', agent: undefined };
      const answer = await exchange({ ...ask, deadlineMs: alias.deadlineMs });
      if (!answer.ok) throw new Error(answer.error);
      statistics.add({ ...verdict, target, endedMs: nowMs(), result: 'ok', servedBy: answer.servedBy });
    } catch (error) {
      statistics.add({
        ...verdict,
        target,
        endedMs: nowMs(),
        result: 'failed',
        error: (error as Error).message,
      });
    }
  });
}

export function apiTraffic(config: TrafficConfig, api: ApiClass, statistics: Statistics): Source {
  const resolver = cachingResolver(api.dnsServers, nowMs);
  let turn = 0;
  return every(api.perSecond, async () => {
    const startedMs = nowMs();
    turn += 1;
    const verdict = { class: 'api' as const, startedMs };
    let target = `GET https://${api.alias}:${api.port}${api.path}`;
    const problems: string[] = [];
    try {
      const addresses = await resolver.addresses(api.alias);
      const first = turn % addresses.length;
      const order = [...addresses.slice(first), ...addresses.slice(0, first)];
      target = `${target} at ${order.join(', ')}`;
      if (await readTwice(config, api, order, problems)) {
        statistics.add({ ...verdict, target, endedMs: nowMs(), result: 'ok', retried: problems.length > 0 });
        return;
      }
    } catch (error) {
      problems.push((error as Error).message);
    }
    const error = [...new Set(problems)].join('; ');
    statistics.add({
      ...verdict,
      target,
      endedMs: nowMs(),
      result: 'failed',
      retried: problems.length > 1,
      error,
    });
  });
}

/**
 * One pass goes over the addresses until one can be connected to, and stands by that one's answer; a read that
 * failed there is repeated once, beginning with the next address.
 */
async function readTwice(
  config: TrafficConfig,
  api: ApiClass,
  addresses: readonly string[],
  problems: string[],
): Promise<boolean> {
  let next = 0;
  for (let pass = 0; pass < 2; pass += 1) {
    for (let tried = 0; tried < addresses.length; tried += 1) {
      const address = addresses[next % addresses.length] ?? '';
      next += 1;
      const answer = await readyz(config, api, address);
      if (answer.ok) return true;
      problems.push(`${address}: ${answer.error}`);
      if (answer.connected) break;
    }
  }
  return false;
}

type Readyz = { ok: true } | { ok: false; error: string; connected: boolean };

function readyz(config: TrafficConfig, api: ApiClass, address: string): Promise<Readyz> {
  const { host, port } = endpoint(config, address, api.port);
  return new Promise((resolve) => {
    let connected = false;
    const sent = httpsRequest({
      ...{ host, port, path: api.path, agent: false, servername: api.alias },
      headers: { host: `${api.alias}:${api.port}`, connection: 'close' },
      ...{ ca: api.ca, cert: api.cert, key: api.key, signal: AbortSignal.timeout(api.deadlineMs) },
    });
    const fail = (error: string): void => resolve({ ok: false, error, connected });
    sent.on('socket', (socket) => socket.once('secureConnect', () => (connected = true)));
    sent.on('error', (error) =>
      fail(error.name === 'AbortError' ? `no answer within ${api.deadlineMs} ms` : error.message),
    );
    sent.on('response', (answer) => {
      answer.on('error', (error) => fail(`the answer was cut: ${error.message}`));
      answer.on('end', () =>
        answer.statusCode === 200 ? resolve({ ok: true }) : fail(`status ${answer.statusCode}`),
      );
      answer.resume();
    });
    sent.end();
  });
}
