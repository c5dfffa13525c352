/** One request to the Kubernetes API: which server, whose credential, and what its answer means. */
import { CodedError } from '../../../ports/errors.ts';
import { PortError } from '../../../ports/ports.ts';
import type { HttpResponse, PortFailure, TlsMaterial, Wait } from '../../../ports/ports.ts';
import type { KubeApiOptions, KubePorts } from './api.ts';
import { execCredential } from './kubeconfig.ts';
import type { KubeCredential, KubeTarget } from './kubeconfig.ts';

export interface KubeFailure {
  ok: false;
  /** HTTP status; 0 when no server answered. */
  status: number;
  /** Kubernetes' `reason` (NotFound, Conflict, TooManyRequests …), or the port's failure. */
  reason: string;
  message: string;
  /** From `details.causes`. */
  causes: { reason?: string; message?: string; field?: string }[];
  retryAfterMs?: number | undefined;
  /** Set when no server answered. */
  failure?: PortFailure | undefined;
  /** A server may have seen the request, although no answer came. */
  sent: boolean;
}

export type KubeResult<T> = { ok: true; status: number; value: T } | KubeFailure;

export interface Transport {
  json<T>(
    method: string,
    path: string,
    wait: Wait,
    body?: unknown,
    contentType?: string,
  ): Promise<KubeResult<T>>;
  text(path: string, wait: Wait, server?: string): Promise<KubeResult<string>>;
  readonly counts: { requests: number; retried: number };
}

/** An answer larger than this is not one page of a list. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;
const SERVER_MS = 15_000;
/** A credential is asked for again this long before it ends. */
const CREDENTIAL_SLACK_MS = 60_000;
/** The server is there and says that it cannot serve: another one may. */
const TRY_ANOTHER = new Set([502, 503, 504]);

export function createTransport(ports: KubePorts, target: KubeTarget, options: KubeApiOptions): Transport {
  const counts = { requests: 0, retried: 0 };
  const credentialOf = createCredentials(ports, target);
  let preferred = 0;

  interface Asked {
    method: string;
    path: string;
    accept: string;
    body?: Uint8Array | undefined;
    contentType: string;
  }

  async function ask(server: string, asked: Asked, wait: Wait): Promise<KubeResult<string>> {
    counts.requests += 1;
    try {
      const credential = await credentialOf(wait);
      const response = await ports.http({
        method: asked.method,
        url: server + asked.path,
        headers: headersOf(asked, credential, options.userAgent ?? 'node-cycle'),
        body: asked.body,
        tls: tlsOf(target, credential),
        ...wait,
      });
      const text = await textOf(response);
      if (response.status >= 200 && response.status < 300)
        return { ok: true, status: response.status, value: text };
      return refusal(response, text);
    } catch (error) {
      if (!(error instanceof PortError)) throw error;
      return {
        ok: false,
        status: 0,
        reason: error.kind,
        message: error.message,
        causes: [],
        failure: error.kind,
        sent: error.sent,
      };
    }
  }

  async function send(asked: Asked, wait: Wait, only?: string): Promise<KubeResult<string>> {
    const servers = only === undefined ? target.servers : [only];
    const read = asked.method === 'GET';
    // A kept connection that the server closed fails once although the server is well: a lone server is asked twice.
    const tries = Math.max(2, servers.length);
    const deadlineMs = ports.clock.now() + wait.deadlineMs;
    let last: KubeResult<string> = nothingAsked();
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const leftMs = deadlineMs - ports.clock.now();
      if (leftMs <= 0) break;
      if (attempt > 0) counts.retried += 1;
      const index = (preferred + attempt) % servers.length;
      const share = servers.length > 1 ? Math.min(leftMs, options.serverMs ?? SERVER_MS) : leftMs;
      last = await ask(servers[index] ?? '', asked, { deadlineMs: share, signal: wait.signal });
      if (last.ok || !mayTryAnother(last, read)) {
        if (only === undefined && last.status !== 0) preferred = index;
        return last;
      }
    }
    return last;
  }

  return {
    counts,
    async json<T>(
      method: string,
      path: string,
      wait: Wait,
      body?: unknown,
      contentType = 'application/json',
    ) {
      const bytes = body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body));
      const answer = await send({ method, path, accept: 'application/json', body: bytes, contentType }, wait);
      if (!answer.ok) return answer;
      return parsed<T>(answer.value, answer.status);
    },
    text: (path, wait, server) => send({ method: 'GET', path, accept: '*/*', contentType: '' }, wait, server),
  };
}

function mayTryAnother(failure: KubeFailure, read: boolean): boolean {
  if (failure.failure === 'aborted') return false;
  if (failure.status === 0) return read || !failure.sent;
  return read && TRY_ANOTHER.has(failure.status);
}

/**
 * The value. When no server answered, or one that may soon: a thrown `PortError`, which the engine waits out.
 * Any other refusal: a thrown `CodedError` NC3010 that says what was asked and what came.
 */
export function must<T>(result: KubeResult<T>, what: string): T {
  if (result.ok) return result.value;
  const { status, failure, message, reason } = result;
  const detail = `${what}: ${status === 0 ? '' : `${status} `}${reason}: ${message}`;
  if (status === 0 || status === 429 || status >= 500) {
    throw new PortError(failure ?? 'unreachable', 'http', detail, result.sent);
  }
  throw new CodedError(
    'NC3010',
    detail,
    result.causes.map((cause) => cause.message ?? cause.reason ?? ''),
  );
}

/** The value, undefined when the server says 404, else as `must`. */
export function maybe<T>(result: KubeResult<T>, what: string): T | undefined {
  return !result.ok && result.status === 404 ? undefined : must(result, what);
}

function createCredentials(ports: KubePorts, target: KubeTarget): (wait: Wait) => Promise<KubeCredential> {
  let held: KubeCredential | undefined;
  return async (wait) => {
    if (target.exec === undefined) return target;
    const stale =
      held?.expiresAtMs !== undefined && held.expiresAtMs - CREDENTIAL_SLACK_MS < ports.clock.now();
    if (held !== undefined && !stale) return held;
    if (ports.run === undefined) throw new CodedError('NC3001', 'An exec plugin cannot be run here.');
    held = await execCredential(ports.run, target.exec, ports.env ?? {}, wait);
    return held;
  };
}

function tlsOf(target: KubeTarget, credential: KubeCredential): TlsMaterial {
  return {
    ca: target.ca,
    servername: target.serverName,
    cert: credential.clientCert,
    key: credential.clientKey?.reveal(),
  };
}

function headersOf(
  asked: { accept: string; body?: Uint8Array | undefined; contentType: string },
  credential: KubeCredential,
  userAgent: string,
): Record<string, string> {
  const headers: Record<string, string> = { accept: asked.accept, 'user-agent': userAgent };
  if (credential.token !== undefined) headers['authorization'] = `Bearer ${credential.token.reveal()}`;
  if (asked.body !== undefined) {
    headers['content-type'] = asked.contentType;
    // The API server ignores the body of a DELETE without an explicit length (ran on 1.20).
    headers['content-length'] = String(asked.body.byteLength);
  }
  return headers;
}

async function textOf(response: HttpResponse): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body) {
    size += part.byteLength;
    if (size > MAX_BODY_BYTES)
      throw new PortError('protocol', 'http', `an answer of over ${MAX_BODY_BYTES} bytes`, true);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

interface Status {
  kind?: string;
  reason?: string;
  message?: string;
  details?: { retryAfterSeconds?: number; causes?: KubeFailure['causes'] };
}

function refusal(response: HttpResponse, text: string): KubeFailure {
  const body = parsed<Status | null>(text, response.status);
  const status: Status = body.ok && body.value?.kind === 'Status' ? body.value : {};
  const seconds = status.details?.retryAfterSeconds ?? Number(response.headers['retry-after'] ?? Number.NaN);
  return {
    ok: false,
    status: response.status,
    reason: status.reason ?? `HTTP ${response.status}`,
    message: status.message ?? text.slice(0, 300),
    causes: status.details?.causes ?? [],
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    sent: true,
  };
}

function parsed<T>(text: string, status: number): KubeResult<T> {
  try {
    return { ok: true, status, value: JSON.parse(text) as T };
  } catch {
    const message = `expected JSON, found ${JSON.stringify(text.slice(0, 200))}`;
    return { ok: false, status: 0, reason: 'protocol', message, causes: [], failure: 'protocol', sent: true };
  }
}

function nothingAsked(): KubeFailure {
  const message = 'no server was asked within the deadline';
  return { ok: false, status: 0, reason: 'timeout', message, causes: [], failure: 'timeout', sent: false };
}
