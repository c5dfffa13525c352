/**
 * One request to one answer. The socket is not known here: a caller is a client of the policy, a path and bytes.
 */
import type { Clock } from '../../ports/ports.ts';
import { CodedError } from '../../ports/errors.ts';
import { logPath } from '../jobs/files.ts';
import type { Lanes } from '../jobs/lanes.ts';
import { sha256Hex } from '../log/chain.ts';
import { isDiskFull } from '../log/disk.ts';
import type { Disk } from '../log/disk.ts';
import { isFinished } from '../log/fold.ts';
import type { Job } from '../log/state.ts';
import type { AuditLog } from '../log/log.ts';
import { dnsRead, hostRead, viewOfJob, vmRead } from '../host/operations/reads.ts';
import type { ReadFacts } from '../host/operations/reads.ts';
import { ScriptError } from '../host/script-error.ts';
import { parseCanonical } from '../protocol/canonical.ts';
import type { Operation } from '../protocol/operation.ts';
import { OPERATIONS } from '../protocol/operations.ts';
import type { Params, ReadName } from '../protocol/operations.ts';
import { Guid, HostText, Sha256 } from '../protocol/shapes.ts';
import { KEY_HEADER, LOG_CHUNK_BYTES, LOG_END_HEADER, WAIT_LIMIT_MS } from '../protocol/wire.ts';
import type { Refusal } from '../protocol/wire.ts';
import { accept } from './accept.ts';
import type { AcceptPorts } from './accept.ts';
import { jsonAnswer, refused } from './answers.ts';
import type { Answer } from './answers.ts';
import { refusalOf } from './decide.ts';
import type { BridgePolicy, ClientPolicy } from './policy.ts';
import { turns } from './turns.ts';

/** How soon new bytes of a log are seen by somebody who follows it. */
const FOLLOW_POLL_MS = 50;
/** Requests of one client that may be held waiting at a time. */
const HELD_LIMIT = 16;
/** Reads of one client that run at a time: one less than the children that the host runs for reads. */
const READS_LIMIT = 3;

export interface Incoming {
  method: string;
  /** Path and query as they came. */
  target: string;
  headers: { [name: string]: string | string[] | undefined };
  body: Uint8Array;
  /** Aborted when the caller has gone or the bridge stops. */
  signal: AbortSignal;
}

export interface HandlerOptions {
  policy(): BridgePolicy;
  log: AuditLog;
  disk: Disk;
  clock: Clock;
  lanes: Lanes;
  accepting: AcceptPorts;
  reads: ReadFacts;
  jobsDir: string;
  noteRefusal(client: string, op: string, refusal: Refusal): void;
  /** Settles when some job has ended. */
  nextEnd(): Promise<void>;
  report(line: string): void;
}

const NOT_FOUND: Refusal = { code: 'notFound' };

export type Handler = (client: ClientPolicy, incoming: Incoming) => Promise<Answer>;

export function createHandler(options: HandlerOptions): Handler {
  const { log, disk, clock, lanes } = options;
  const held = new Map<string, number>();
  const inTurn = turns(READS_LIMIT);

  return async (client, incoming) => {
    try {
      return await route(client, incoming);
    } catch (error) {
      const unwritable = error instanceof CodedError && error.code === 'NC2003';
      if (unwritable || isDiskFull(error)) return refused({ code: 'logUnwritable' });
      if (error instanceof ScriptError) options.report(`${error.message}: ${error.log}`);
      else options.report(error instanceof Error ? (error.stack ?? error.message) : String(error));
      return refused({ code: 'hostFailed' });
    }
  };

  async function route(client: ClientPolicy, incoming: Incoming): Promise<Answer> {
    const [path = '', query = ''] = incoming.target.split('?', 2);
    const parts = path.split('/').slice(1);
    if (parts[0] !== 'v1') return refused(NOT_FOUND);
    const post = incoming.method === 'POST';
    if (!post && incoming.method !== 'GET') return refused({ code: 'badRequest' });
    if (post && parts[1] === 'read' && parts.length === 3) return read(client, parts[2] ?? '', incoming);
    if (parts[1] !== 'jobs') return refused(NOT_FOUND);
    if (post && parts.length === 2) return submit(client, incoming);
    const job = jobOf(client, parts[2] ?? '');
    if (!job) return refused(NOT_FOUND);
    if (!post && parts.length === 3) return watch(client, job, new URLSearchParams(query), incoming.signal);
    if (!post && parts.length === 4 && parts[3] === 'log')
      return readLog(client, job, new URLSearchParams(query), incoming.signal);
    if (post && parts.length === 4 && parts[3] === 'cancel') {
      lanes.cancel(job);
      return jsonAnswer(200, viewOfJob(log.state.jobs.get(job.id) ?? job));
    }
    return refused(NOT_FOUND);
  }

  /** A foreign id and one that never was give the same bytes. */
  function jobOf(client: ClientPolicy, id: string): Job | undefined {
    const job = Guid.safeParse(id).success ? log.state.jobs.get(id) : undefined;
    return job?.client === client.name ? job : undefined;
  }

  function refuse(client: ClientPolicy, op: string, refusal: Refusal): Answer {
    options.noteRefusal(client.name, OPERATIONS.has(op) ? op : '', refusal);
    return refused(refusal);
  }

  type Checked =
    { ok: true; operation: Operation; params: { [name: string]: unknown } } | { ok: false; answer: Answer };

  function check(client: ClientPolicy, kind: Operation['kind'], name: string, params: unknown): Checked {
    const fail = (refusal: Refusal): Checked => ({ ok: false, answer: refuse(client, name, refusal) });
    const operation = OPERATIONS.get(name);
    if (operation?.kind !== kind) return fail({ code: 'unknownOperation' });
    const parsed = operation.schema.safeParse(params);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const field = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path[0];
      // A field that we do not know is the caller's text: it is not sent back.
      const ours = typeof field === 'string' && Object.hasOwn(operation.params, field);
      return fail({ code: 'badParams', ...(ours ? { field } : {}) });
    }
    const refusal = refusalOf(operation, parsed.data, {
      policy: options.policy(),
      client,
      clusterOf: (id) => options.reads.host.records.get(id)?.cluster,
    });
    return refusal ? fail(refusal) : { ok: true, operation, params: parsed.data };
  }

  async function read(client: ClientPolicy, name: string, { body, signal }: Incoming): Promise<Answer> {
    const parsed = parseCanonical(body);
    if (!parsed.ok)
      return refuse(client, name, { code: parsed.reason === 'tooLarge' ? 'tooLarge' : 'notCanonical' });
    const checked = check(client, 'read', name, parsed.value);
    if (!checked.ok) return checked.answer;
    return (
      (await inTurn(client.name, signal, () => readNow(client, checked.operation, checked.params))) ??
      refused({ code: 'busy' })
    );
  }

  async function readNow(
    client: ClientPolicy,
    { name }: Operation,
    params: { [name: string]: unknown },
  ): Promise<Answer> {
    const facts = options.reads;
    switch (name as ReadName) {
      case 'host.read':
        return jsonAnswer(200, await hostRead(facts, client));
      case 'vm.read':
        return jsonAnswer(200, await vmRead(facts, client, params as Params<'vm.read'>));
      case 'dns.read':
        return jsonAnswer(200, await dnsRead(facts, params as Params<'dns.read'>));
    }
  }

  async function submit(client: ClientPolicy, { body, headers }: Incoming): Promise<Answer> {
    const parsed = parseCanonical(body);
    if (!parsed.ok)
      return refuse(client, '', { code: parsed.reason === 'tooLarge' ? 'tooLarge' : 'notCanonical' });
    const key = headers[KEY_HEADER];
    const request = parsed.value as { op?: unknown; params?: unknown } | null;
    const shaped =
      typeof request === 'object' && request !== null && Object.keys(request).join() === 'op,params';
    if (!shaped || !HostText.safeParse(request.op).success || !Sha256.safeParse(key).success) {
      return refuse(client, '', { code: 'badRequest' });
    }
    const checked = check(client, 'change', request.op as string, request.params);
    if (!checked.ok) return checked.answer;
    const { operation, params } = checked;
    const accepted = accept(options.accepting, {
      client,
      operation,
      params,
      paramsHash: sha256Hex(body),
      key: key as string,
    });
    if (!accepted.ok) return refuse(client, operation.name, accepted.refusal);
    return jsonAnswer(accepted.isNew ? 202 : 200, viewOfJob(accepted.job));
  }

  async function watch(
    client: ClientPolicy,
    job: Job,
    query: URLSearchParams,
    signal: AbortSignal,
  ): Promise<Answer> {
    const waitMs = wholeNumber(query.get('waitMs') ?? '0');
    if (waitMs === undefined) return refused({ code: 'badRequest', field: 'waitMs' });
    const now = () => log.state.jobs.get(job.id) ?? job;
    await hold(client, waitMs, signal, () => isFinished(now()), options.nextEnd);
    return jsonAnswer(200, viewOfJob(now()));
  }

  async function readLog(
    client: ClientPolicy,
    job: Job,
    query: URLSearchParams,
    signal: AbortSignal,
  ): Promise<Answer> {
    const offset = wholeNumber(query.get('offset') ?? '0');
    const waitMs = wholeNumber(query.get('waitMs') ?? '0');
    if (offset === undefined) return refused({ code: 'badRequest', field: 'offset' });
    if (waitMs === undefined) return refused({ code: 'badRequest', field: 'waitMs' });
    const path = logPath(options.jobsDir, job.id);
    const ended = () => isFinished(log.state.jobs.get(job.id) ?? job);
    const size = () => disk.size(path) ?? 0;
    const pause = () => clock.sleep(FOLLOW_POLL_MS, signal).catch(() => {});
    await hold(client, waitMs, signal, () => ended() || size() > offset, pause);
    // Asked in this order: a job that has ended writes no more, so the size is final when `last` is true.
    const last = ended();
    const total = size();
    if (offset > total) return refused({ code: 'badRequest', field: 'offset' });
    const bytes = total > offset ? disk.readRange(path, offset, LOG_CHUNK_BYTES) : new Uint8Array();
    const atEnd = last && offset + bytes.byteLength >= total;
    return {
      status: 200,
      headers: { 'content-type': 'application/octet-stream', ...(atEnd ? { [LOG_END_HEADER]: '1' } : {}) },
      body: bytes,
    };
  }

  /** Holds a request until `met`, its time is over, or the caller has gone; past the client's limit it does not hold. */
  async function hold(
    client: ClientPolicy,
    waitMs: number,
    signal: AbortSignal,
    met: () => boolean,
    pause: () => Promise<void>,
  ): Promise<void> {
    const count = held.get(client.name) ?? 0;
    if (waitMs === 0 || met() || count >= HELD_LIMIT) return;
    held.set(client.name, count + 1);
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const limit = clock.sleep(Math.min(waitMs, WAIT_LIMIT_MS), either).catch(() => {});
    void limit.then(() => {
      over.abort();
    });
    try {
      while (!either.aborted && !met()) await Promise.race([pause(), limit]);
    } finally {
      over.abort();
      held.set(client.name, (held.get(client.name) ?? 1) - 1);
    }
  }
}

/** Up to 15 digits and no sign: what is larger is nobody's offset. */
function wholeNumber(text: string): number | undefined {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
