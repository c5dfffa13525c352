/**
 * Accepting a job: one turn of the event loop from the first check to the fsynced entry, so that no other request
 * can come in between. Equal keys give the same job; budgets are charged here and never refunded.
 */
import { join } from 'node:path';
import type { Clock, Random } from '../../ports/ports.ts';
import { jobDir } from '../jobs/files.ts';
import type { Lanes } from '../jobs/lanes.ts';
import type { Disk } from '../log/disk.ts';
import { pairKey, spent } from '../log/fold.ts';
import type { Job } from '../log/state.ts';
import type { AuditLog } from '../log/log.ts';
import { canonicalJson } from '../protocol/canonical.ts';
import type { Budget, Lane, Operation } from '../protocol/operation.ts';
import type { Refusal } from '../protocol/wire.ts';
import type { ClientPolicy } from './policy.ts';

/**
 * Jobs of one client that may wait in one lane: more than a person would queue, few enough that the last is not
 * forgotten. Each client has its own, so that none can fill another's.
 */
export const QUEUE_LIMIT = 8;

/**
 * Most that a fence may rise at once. It counts take-overs of the cluster's lock, one or two a run; without a limit
 * one request with the highest number would lock every later run out.
 */
export const FENCE_STEP_LIMIT = 1_000;
/** Most that the first number of a cluster may be: a thousand take-overs a day for ten years are less. */
export const FIRST_FENCE_LIMIT = 4_000_000;

/** Who the bridge's own jobs belong to; no client can have this name. */
export const BRIDGE_CLIENT = '@bridge';

export interface AcceptPorts {
  log: AuditLog;
  disk: Disk;
  lanes: Lanes;
  clock: Clock;
  random: Random;
  jobsDir: string;
}

export interface Request {
  client: ClientPolicy;
  operation: Operation;
  params: { [name: string]: unknown };
  paramsHash: string;
  key: string;
}

export type Acceptance = { ok: true; job: Job; isNew: boolean } | { ok: false; refusal: Refusal };

/** Parameters have passed schema and policy. */
export function accept(
  ports: AcceptPorts,
  { client, operation, params, paramsHash, key }: Request,
): Acceptance {
  const { log, lanes, clock } = ports;
  const { state } = log;
  const refuse = (refusal: Refusal): Acceptance => ({ ok: false, refusal });
  const known = state.jobs.get(state.keys.get(pairKey(client.name, key)) ?? '');
  if (known) {
    return known.paramsHash === paramsHash
      ? { ok: true, job: known, isNew: false }
      : refuse({ code: 'keyReused' });
  }
  const cluster = typeof params['cluster'] === 'string' ? params['cluster'] : undefined;
  const fence = typeof params['fence'] === 'number' ? params['fence'] : undefined;
  if (cluster !== undefined && fence !== undefined) {
    const seen = state.fences.get(cluster);
    if (fence < (seen ?? 0)) return refuse({ code: 'fenceTooLow', field: 'fence', rule: 'fence' });
    const most = seen === undefined ? FIRST_FENCE_LIMIT : seen + FENCE_STEP_LIMIT;
    if (fence > most) return refuse({ code: 'fenceTooHigh', field: 'fence', rule: 'fence' });
  }
  const lane = operation.lane as Lane;
  const budget = operation.budget as Budget;
  if (lanes.waiting(lane, client.name) >= QUEUE_LIMIT) return refuse({ code: 'queueFull' });
  if (spent(state, client.name, budget, clock.now()) >= client.budgets[budget]) {
    return refuse({ code: 'budgetSpent', rule: `budgets.${budget}` });
  }
  const redactedParams = Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name, operation.redact.includes(name) ? '***' : value]),
  );
  const job = write(ports, params, {
    client: client.name,
    op: operation.name,
    key,
    paramsHash,
    redactedParams,
    target: operation.target?.(params) ?? operation.name,
    lane,
    budget,
    ...(cluster === undefined ? {} : { cluster }),
    ...(fence === undefined ? {} : { fence }),
  });
  return { ok: true, job, isNew: true };
}

/** A job of the bridge itself: nobody's budget, nobody's fence. */
export function acceptOwn(
  ports: AcceptPorts,
  op: string,
  lane: Lane,
  target: string,
  params: { [name: string]: unknown },
  paramsHash: string,
): Job {
  return write(ports, params, {
    client: BRIDGE_CLIENT,
    op,
    key: newId(ports.random),
    paramsHash,
    redactedParams: params,
    target,
    lane,
  });
}

type Fields = Omit<Parameters<AuditLog['append']>[0] & { event: 'accepted' }, 'event' | 'jobId'>;

function write({ log, disk, lanes, random, jobsDir }: AcceptPorts, params: object, fields: Fields): Job {
  const jobId = newId(random);
  const dir = jobDir(jobsDir, jobId);
  try {
    disk.makeDir(dir);
    disk.write(join(dir, 'params.json'), canonicalJson(params));
    log.append({ event: 'accepted', jobId, ...fields });
  } catch (error) {
    // It was not accepted: nothing of it stays, unless its entry might be on the disk after all.
    if (log.usable()) disk.remove(dir);
    throw error;
  }
  lanes.pump();
  return log.state.jobs.get(jobId) as Job;
}

/** A random GUID (RFC 9562, version 4). */
export function newId(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
