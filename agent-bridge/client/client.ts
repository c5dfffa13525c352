/**
 * The bridge's client, over the `http` port. It tells apart *not accepted* (nothing was made), *state unknown* (the
 * connection ended before an answer), *failed* and *done*, and keeps the head of the bridge's log as a witness.
 */
import { createHash, X509Certificate } from 'node:crypto';
import * as z from 'zod/mini';
import { CodedError } from '../../ports/errors.ts';
import { PortError } from '../../ports/ports.ts';
import type { Clock, Http, Random, Wait } from '../../ports/ports.ts';
import type { Secret } from '../../ports/secret.ts';
import { canonicalJson } from '../protocol/canonical.ts';
import { CHANGES, READS } from '../protocol/operations.ts';
import type { ChangeName, Params, ReadName, Result } from '../protocol/operations.ts';
import {
  JobView,
  KEY_HEADER,
  LOG_END_HEADER,
  LOG_HEAD_HEADER,
  Refusal,
  WAIT_LIMIT_MS,
} from '../protocol/wire.ts';
import type { JobError } from '../protocol/wire.ts';
import { serverPins } from './pins.ts';

export interface BridgeClientOptions {
  http: Http;
  clock: Clock;
  random: Random;
  /** `https://host:port`. */
  url: string;
  /** SHA-256 of the bridge's certificate, hex, with or without colons; several parted by commas or white space. */
  serverPin: string;
  /** PEM. */
  cert: string;
  key: Secret;
}

export interface JobHandle<O extends ChangeName = ChangeName> {
  op: O;
  id: string;
  state: JobView['state'];
}

export type JobOutcome<O extends ChangeName = ChangeName> =
  { kind: 'done'; result: Result<O>; job: JobView } | { kind: 'failed'; error: JobError; job: JobView };

export interface WaitForOptions extends Wait {
  /** Whole lines of the job's log, without their ends, each once. */
  onLog?: ((line: string) => void) | undefined;
}

export interface BridgeClient {
  /** Rejects with `NC2004` (refused), `NC2007` (not reached), `NC2008` (other certificate), `NC2009`. */
  read<O extends ReadName>(op: O, params: Params<O>, wait: Wait): Promise<Result<O>>;
  /** Rejects with `NC2004` when nothing was made, `NC2005` when that is not known. The same key may be sent again. */
  submit<O extends ChangeName>(op: O, params: Params<O>, key: string, wait: Wait): Promise<JobHandle<O>>;
  /** Follows the job to its end through any number of lost connections. Rejects with `NC2005` at the deadline. */
  waitFor<O extends ChangeName>(job: JobHandle<O>, options: WaitForOptions): Promise<JobOutcome<O>>;
  /** The log's bytes from an offset to its end, exact through reconnects. */
  readLog(jobId: string, offset: number, onBytes: (bytes: Uint8Array) => void, wait: Wait): Promise<void>;
  cancel(jobId: string, wait: Wait): Promise<JobView>;
  /** `seq:hash` of the newest answer: a witness outside the host. */
  lastHead(): string | undefined;
  /** When the client's own certificate ends, milliseconds since 1970. */
  readonly certificateEndsMs: number;
}

/** The first pause after a lost connection; it doubles up to the last. */
const RETRY_FIRST_MS = 200;
/** A bridge that was started again is found within it, and a host that is down is asked little. */
const RETRY_LAST_MS = 5_000;
/** One request besides what it may be held for. */
const REQUEST_MS = 30_000;
/** A random byte over this is a share of the whole. */
const BYTE_VALUES = 256;

/**
 * The idempotency key: it protects one POST and its re-sends. It holds no run's id, so a run that is queued again
 * joins the unfinished job; and it holds the target's last finished job, so a retry after a failure is a new one.
 */
export function jobKey<O extends ChangeName>(
  op: O,
  params: Params<O>,
  cluster: string,
  lastFinished: string | undefined,
): string {
  return createHash('sha256')
    .update(canonicalJson({ cluster, lastFinished: lastFinished ?? '', op, params }))
    .digest('hex');
}

/** The target of a change as `JobView.target` names it. */
export function targetOf<O extends ChangeName>(op: O, params: Params<O>): string {
  return (CHANGES[op].target as unknown as (params: Params<O>) => string)(params);
}

interface Reply {
  status: number;
  headers: Record<string, string>;
  bytes: Uint8Array;
}

/** Throws NC2012 when `serverPin` is no fingerprint. */
export function bridgeClient(options: BridgeClientOptions): BridgeClient {
  const { clock } = options;
  const pins = serverPins(options.serverPin);
  let head: string | undefined;
  const certificateEndsMs = Date.parse(new X509Certificate(options.cert).validTo);

  async function exchange(
    method: string,
    path: string,
    wait: Wait,
    body?: string,
    headers: Record<string, string> = {},
  ): Promise<Reply> {
    const response = await options.http({
      method,
      url: `${options.url.replace(/\/$/, '')}/v1/${path}`,
      headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      body,
      tls: { cert: options.cert, key: options.key.reveal(), pinSha256: pins },
      ...wait,
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    head = response.headers[LOG_HEAD_HEADER] ?? head;
    return { status: response.status, headers: response.headers, bytes: Buffer.concat(chunks) };
  }

  /** Repeats while the connection is lost, until the deadline. Only for what may be repeated. */
  async function persist(wait: Wait, once: (left: Wait) => Promise<Reply>): Promise<Reply> {
    const until = clock.now() + wait.deadlineMs;
    for (let pause = RETRY_FIRST_MS; ; pause = Math.min(pause * 2, RETRY_LAST_MS)) {
      const left = until - clock.now();
      try {
        const reply = await once({
          deadlineMs: Math.max(1, Math.min(left, REQUEST_MS)),
          signal: wait.signal,
        });
        // 429: the queue is full, or somebody else has the host's attention; nothing was made.
        if (reply.status !== 429 || left <= pause) return reply;
      } catch (error) {
        if (!isLost(error) || left <= pause) throw error;
      }
      // Jitter, so that the agents of many clusters do not come back together.
      await clock.sleep(
        pause / 2 + (pause / 2) * ((options.random.bytes(1)[0] ?? 0) / BYTE_VALUES),
        wait.signal,
      );
    }
  }

  async function jobReply(reply: Reply): Promise<JobView> {
    if (reply.status >= 300) throw refusalError(reply);
    return parse(JobView, reply);
  }

  const client: BridgeClient = {
    async read(op, params, wait) {
      const reply = await persist(wait, (left) =>
        exchange('POST', `read/${op}`, left, canonicalJson(params)),
      ).catch(unreached);
      if (reply.status !== 200) throw refusalError(reply);
      return parse(READS[op].result, reply) as Result<typeof op>;
    },
    async submit(op, params, key, wait) {
      let mayBeThere = false;
      const reply = await persist(wait, async (left) => {
        try {
          return await exchange('POST', 'jobs', left, canonicalJson({ op, params }), { [KEY_HEADER]: key });
        } catch (error) {
          mayBeThere ||= error instanceof PortError && error.sent;
          throw error;
        }
      }).catch((error: unknown) => (mayBeThere ? unknownState(error) : unreached(error)));
      const { id, state } = await jobReply(reply);
      return { op, id, state };
    },
    async waitFor(job, { onLog, ...wait }) {
      const until = clock.now() + wait.deadlineMs;
      const left = (): Wait => ({ deadlineMs: Math.max(1, until - clock.now()), signal: wait.signal });
      if (onLog) {
        const lines = lineSplitter(onLog);
        await client.readLog(job.id, 0, lines.push, left());
        lines.end();
      }
      for (;;) {
        const reply = await persist(left(), (one) =>
          exchange('GET', `jobs/${job.id}?waitMs=${Math.min(WAIT_LIMIT_MS, one.deadlineMs)}`, one),
        ).catch(unknownState);
        const view = await jobReply(reply);
        if (view.state === 'succeeded') {
          const result = z.safeParse(CHANGES[job.op].result, view.result);
          if (!result.success) throw new CodedError('NC2009', `The result of ${job.op} has another shape.`);
          return { kind: 'done', result: result.data as Result<typeof job.op>, job: view };
        }
        if (view.endedAt !== undefined)
          return { kind: 'failed', error: view.error ?? 'scriptFailed', job: view };
        if (clock.now() >= until)
          throw new CodedError('NC2005', `Job ${job.id} was ${view.state} at the deadline.`);
      }
    },
    async readLog(jobId, offset, onBytes, wait) {
      const until = clock.now() + wait.deadlineMs;
      for (let at = offset; ;) {
        const left: Wait = { deadlineMs: Math.max(1, until - clock.now()), signal: wait.signal };
        const from = at;
        const reply = await persist(left, (one) =>
          exchange(
            'GET',
            `jobs/${jobId}/log?offset=${from}&waitMs=${Math.min(WAIT_LIMIT_MS, one.deadlineMs)}`,
            one,
          ),
        ).catch(unknownState);
        if (reply.status !== 200) throw refusalError(reply);
        // A body that was cut short rejects as a lost connection, so these bytes are whole and counted once.
        if (reply.bytes.byteLength > 0) onBytes(reply.bytes);
        at += reply.bytes.byteLength;
        if (reply.headers[LOG_END_HEADER] === '1') return;
        if (clock.now() >= until)
          throw new CodedError('NC2005', `The log of job ${jobId} had not ended at the deadline.`);
      }
    },
    async cancel(jobId, wait) {
      return jobReply(
        await persist(wait, (left) => exchange('POST', `jobs/${jobId}/cancel`, left)).catch(unknownState),
      );
    },
    lastHead: () => head,
    certificateEndsMs,
  };
  return client;
}

const LOST = new Set(['closed', 'unreachable', 'refused', 'timeout']);
const isLost = (error: unknown): boolean => error instanceof PortError && LOST.has(error.kind);

function unreached(error: unknown): never {
  if (!(error instanceof PortError) || error.kind === 'aborted') throw error;
  const code = error.kind === 'tls' && /pin|fingerprint/i.test(error.message) ? 'NC2008' : 'NC2007';
  throw new CodedError(code, error.message, [], { cause: error });
}

function unknownState(error: unknown): never {
  if (!(error instanceof PortError) || error.kind === 'aborted') throw error;
  throw new CodedError('NC2005', error.message, [], { cause: error });
}

function refusalError({ status, bytes }: Reply): CodedError {
  const refusal = Refusal.safeParse(jsonOf(bytes));
  if (!refusal.success) return new CodedError('NC2009', `Status ${status} without a refusal.`);
  const { code, field, rule, line } = refusal.data;
  const parts = [
    `code ${code}`,
    ...(field === undefined ? [] : [`field ${field}`]),
    ...(rule === undefined ? [] : [`rule ${rule}`]),
    ...(line === undefined ? [] : [`bridge.yaml line ${line}`]),
  ];
  return new CodedError('NC2004', `${parts.join(', ')}.`, parts);
}

function parse<S extends z.core.$ZodType>(schema: S, { bytes }: Reply): z.core.output<S> {
  const parsed = z.safeParse(schema, jsonOf(bytes));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CodedError('NC2009', `At ${issue?.path.join('.') ?? ''}: ${issue?.code ?? ''}.`);
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

function lineSplitter(onLine: (line: string) => void): { push(bytes: Uint8Array): void; end(): void } {
  const decoder = new TextDecoder();
  let rest = '';
  return {
    push(bytes) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    },
    end() {
      rest += decoder.decode();
      if (rest !== '') onLine(rest);
      rest = '';
    },
  };
}
