/**
 * What the traffic is told: which classes run, where to, how often. The file's JSON has this shape; the few
 * values with a default may be left out.
 */
import { readFileSync } from 'node:fs';

export interface HttpClass {
  /** Where the proxy listens. */
  address: string;
  port: number;
  /** The site's name, sent as Host. */
  host: string;
  path: string;
  perSecond: number;
  /** Share of requests on a connection of their own, 0 to 1; the rest reuse `keepAliveConnections`. */
  newConnections: number;
  /** Share of POST requests, 0 to 1. */
  posts: number;
  keepAliveConnections: number;
  deadlineMs: number;
}

export interface StreamClass {
  address: string;
  port: number;
  /** Connections a second that send one line, read its answer and close. */
  perSecond: number;
  /** Connections that stay open, each with one line every `pingEveryMs`. */
  longLived: number;
  pingEveryMs: number;
  /** The proxy's `worker_shutdown_timeout`: how long a worker that was told to go keeps its connections. */
  drainDeadlineMs: number;
  /** `told`: each reload of the proxy is said on stdin. `unknown`: only a stream's age can be judged. */
  reloads: 'told' | 'unknown';
  deadlineMs: number;
}

interface Alias {
  /** `address:port` of each DNS server; asked in turn until one answers. */
  dnsServers: string[];
  alias: string;
  port: number;
  path: string;
  perSecond: number;
  deadlineMs: number;
}

export interface ApiClass extends Alias {
  /** PEM. */
  ca: string;
  cert: string;
  key: string;
}

export type AliasClass = Alias;

export interface TrafficConfig {
  http?: HttpClass | undefined;
  stream?: StreamClass | undefined;
  api?: ApiClass | undefined;
  alias?: AliasClass | undefined;
  /** `address:port` as the world knows it → `address:port` to open instead, where not every VM has its own address. */
  reach: Record<string, string>;
  statsEveryMs: number;
}

type Partly<T, D extends keyof T> = Omit<T, D> & Partial<Pick<T, D>>;

export interface TrafficSettings {
  http?: Partly<
    HttpClass,
    'path' | 'perSecond' | 'newConnections' | 'posts' | 'keepAliveConnections' | 'deadlineMs'
  >;
  stream?: Partly<StreamClass, 'perSecond' | 'longLived' | 'pingEveryMs' | 'reloads' | 'deadlineMs'>;
  api?: Partly<ApiClass, 'path' | 'perSecond' | 'deadlineMs'>;
  alias?: Partly<AliasClass, 'path' | 'perSecond' | 'deadlineMs'>;
  reach?: Record<string, string>;
  statsEveryMs?: number;
}

/** Longer than any reload, shorter than a person waits. */
const DEADLINE_MS = 5_000;

/** About 60 requests a second in all: a lab run of under a minute then sees more than 2,000. */
export function withDefaults(given: TrafficSettings): TrafficConfig {
  const deadlineMs = DEADLINE_MS;
  return {
    http: given.http && {
      ...{ path: '/', perSecond: 36, newConnections: 0.5, posts: 0.1, keepAliveConnections: 6, deadlineMs },
      ...given.http,
    },
    stream: given.stream && {
      ...{ perSecond: 9, longLived: 4, pingEveryMs: 800, reloads: 'unknown' as const, deadlineMs },
      ...given.stream,
    },
    api: given.api && { path: '/readyz', perSecond: 5, deadlineMs, ...given.api },
    alias: given.alias && { path: '/', perSecond: 5, deadlineMs, ...given.alias },
    reach: given.reach ?? {},
    statsEveryMs: given.statsEveryMs ?? 250,
  };
}

export function readConfig(path: string): TrafficConfig {
  return withDefaults(JSON.parse(readFileSync(path, 'utf8')) as TrafficSettings);
}

export interface Endpoint {
  host: string;
  port: number;
}

/** The socket to open for an address of the world. */
export function endpoint(config: TrafficConfig, address: string, port: number): Endpoint {
  const instead = config.reach[`${address}:${port}`];
  return instead === undefined ? { host: address, port } : parseEndpoint(instead);
}

export function parseEndpoint(text: string): Endpoint {
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port))
    throw new Error(`expected address:port, found ${JSON.stringify(text)}`);
  return { host: text.slice(0, colon), port };
}
