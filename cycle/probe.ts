/** What "it serves" means: one HTTP request over the very path that users take, and what it must answer. */
import type { Http } from '../ports/ports.ts';
import type { Config } from './config/schema.ts';
import { describe } from './step.ts';

type NodeProbe = NonNullable<NonNullable<Config['ingress']>['probe']>;
type ProxyProbe = NonNullable<Config['proxies'][number]['probe']>;

export interface ProbeRequest {
  url: string;
  /** Host header, when it is not the URL's. */
  host?: string | undefined;
  /** `host:port` of the socket, when it is not the URL's. */
  connectTo?: string | undefined;
  status: number;
  contains?: string | undefined;
}

const PROBE_MS = 5_000;
const KEEP_BYTES = 64 * 1024;

/** The ingress on one node, asked at the node's own address. */
export function nodeProbeRequest(probe: NodeProbe, address: string): ProbeRequest {
  const host = address.includes(':') ? `[${address}]` : address;
  return {
    url: `http://${host}:${probe.port}${probe.path}`,
    host: probe.host,
    status: probe.status,
    contains: probe.contains,
  };
}

/** A user's URL through one proxy, whatever DNS says: the second of a keepalived pair is asked as well. */
export function proxyProbeRequest(probe: ProxyProbe, proxyHost: string): ProbeRequest {
  const url = new URL(probe.url);
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  return {
    url: probe.url,
    connectTo: `${proxyHost}:${port}`,
    status: probe.status,
    contains: probe.contains,
  };
}

export async function askProbe(
  http: Http,
  probe: ProbeRequest,
  signal: AbortSignal,
): Promise<'ok' | (string & {})> {
  try {
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
  } catch (error) {
    return describe(error);
  }
}
