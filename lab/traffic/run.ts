/**
 * All classes of the traffic together, from start to stop.
 */
import { aliasTraffic, apiTraffic } from './alias.ts';
import type { TrafficConfig } from './config.ts';
import { httpTraffic } from './http.ts';
import { nowMs } from './pace.ts';
import { statistics } from './statistics.ts';
import type { Failure, TrafficResult, TrafficStats } from './statistics.ts';
import { streamTraffic } from './stream.ts';

export type TrafficLine = TrafficStats | TrafficResult | ({ kind: 'failure' } & Failure);

export interface Traffic {
  /** Said by whoever watches the proxy; see `stream.ts`. */
  proxyReloaded(atMs: number): void;
  /** Starts nothing more, waits for the answers that are due, and counts. */
  stop(): Promise<TrafficResult>;
}

export function startTraffic(
  config: TrafficConfig,
  onLine: (line: TrafficLine) => void = () => undefined,
): Traffic {
  const counted = statistics((failure) => onLine({ kind: 'failure', ...failure }));
  const stream = config.stream && streamTraffic(config, config.stream, counted);
  const sources = [
    config.http && httpTraffic(config, config.http, counted),
    stream,
    config.api && apiTraffic(config, config.api, counted),
    config.alias && aliasTraffic(config, config.alias, counted),
  ].filter((source) => source !== undefined);
  const timer = setInterval(() => onLine(counted.stats(nowMs())), config.statsEveryMs);
  return {
    proxyReloaded: (atMs) => stream?.proxyReloaded(atMs),
    async stop() {
      await Promise.all(sources.map((source) => source.stop()));
      clearInterval(timer);
      return counted.result();
    },
  };
}
