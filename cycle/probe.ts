/**
 * What "it serves" means: one request over the very path that users take, and what it must answer. A URL says the
 * kind: `http` and `https` a request, `tcp` a connection, `tls` a handshake with the host's name.
 */
import type { Ports } from '../ports/ports.ts';
import type { Config } from './config/schema.ts';
import { describe } from './step.ts';

type NodeProbe = NonNullable<NonNullable<Config['ingress']>['probe']>;
type UserProbe = NonNullable<Config['proxies'][number]['probe']>;

export interface ProbeRequest {
  url: string;
  /** Host header, when it is not the URL's. */
  host?: string | undefined;
  /** `host:port` of the socket, when it is not the URL's. */
  connectTo?: string | undefined;
  status: number;
  /** In the body; in the first line that comes over `tcp` and `tls`. */
  contains?: string | undefined;
}

const PROBE_MS = 5_000;
const KEEP_BYTES = 64 * 1024;
const PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443', 'tls:': '443' };

/** The ingress on one node, asked at the node's own address. */
export function nodeProbeRequest(probe: NodeProbe, address: string): ProbeRequest {
  const { kind, port, path, host, status, contains } = probe;
  const place = `${bracketed(address)}:${port}`;
  // The name in the certificate is the site's, and never that of the one node.
  if (kind === 'https' || kind === 'tls')
    return {
      url: `${kind}://${host ?? bracketed(address)}:${port}${path}`,
      connectTo: place,
      status,
      contains,
    };
  return { url: `${kind}://${place}${path}`, host, status, contains };
}

/** All that users open through a proxy. */
export function probesOf({ probe, probes }: Config['proxies'][number]): UserProbe[] {
  return [...(probe === undefined ? [] : [probe]), ...probes];
}

/** A user's URL at one address, whatever DNS says: each proxy of a keepalived pair, or a new member of an alias. */
export function userProbeRequest({ url, status, contains }: UserProbe, address: string): ProbeRequest {
  return { url, connectTo: `${bracketed(address)}:${portOf(new URL(url))}`, status, contains };
}

export async function askProbe(
  ports: Pick<Ports, 'http' | 'connect'>,
  probe: ProbeRequest,
  signal: AbortSignal,
): Promise<'ok' | (string & {})> {
  try {
    return /^https?:/.test(probe.url)
      ? await askHttp(ports, probe, signal)
      : await askSocket(ports, probe, signal);
  } catch (error) {
    return describe(error);
  }
}

async function askHttp(
  { http }: Pick<Ports, 'http'>,
  probe: ProbeRequest,
  signal: AbortSignal,
): Promise<'ok' | (string & {})> {
  const response = await http({
    method: 'GET',
    url: probe.url,
    headers: { connection: 'close', ...(probe.host === undefined ? {} : { host: probe.host }) },
    connectTo: probe.connectTo,
    deadlineMs: PROBE_MS,
    signal,
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    if (size < KEEP_BYTES) chunks.push(chunk);
    size += chunk.length;
  }
  if (response.status !== probe.status) return `status ${response.status}, not ${probe.status}`;
  const body = Buffer.concat(chunks).toString('utf8');
  return probe.contains === undefined || body.includes(probe.contains)
    ? 'ok'
    : `the body lacks "${probe.contains}"`;
}

async function askSocket(
  { connect }: Pick<Ports, 'connect'>,
  { url, connectTo, contains }: ProbeRequest,
  signal: AbortSignal,
): Promise<'ok' | (string & {})> {
  const parsed = new URL(url);
  const place = connectTo ?? `${parsed.hostname}:${portOf(parsed)}`;
  const at = place.lastIndexOf(':');
  const { banner } = await connect({
    host: place.slice(0, at).replace(/^\[(.*)\]$/, '$1'),
    port: Number(place.slice(at + 1)),
    servername: parsed.protocol === 'tls:' ? parsed.hostname : undefined,
    banner: contains !== undefined,
    deadlineMs: PROBE_MS,
    signal,
  });
  return contains === undefined || banner.includes(contains) ? 'ok' : `the first line lacks "${contains}"`;
}

function portOf(url: URL): string {
  return url.port === '' ? (PORTS[url.protocol] ?? '') : url.port;
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
