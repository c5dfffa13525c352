/**
 * The bridge put together: policy, log, lanes, handler, socket, and the one slow loop that purges set-aside VMs and
 * takes admin commands into the log.
 */
import { X509Certificate } from 'node:crypto';
import { isAbsolute, join } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import type { Clock, Random } from '../../ports/ports.ts';
import { createHost } from '../host/host.ts';
import { dnsSwap } from '../host/operations/dns-swap.ts';
import { imageBuild } from '../host/operations/image-build.ts';
import { vmCreate } from '../host/operations/vm-create.ts';
import { PURGE_OPERATION, vmDelete, vmPurge } from '../host/operations/vm-delete.ts';
import { vmStop } from '../host/operations/vm-stop.ts';
import { records } from '../host/records.ts';
import { scriptRunner } from '../host/run-script.ts';
import type { Engine } from '../host/run-script.ts';
import type { HostOperation } from '../jobs/host-operation.ts';
import { createLanes } from '../jobs/lanes.ts';
import type { ProcessId, Processes } from '../jobs/processes.ts';
import { sha256Hex } from '../log/chain.ts';
import type { Disk } from '../log/disk.ts';
import { isFinished } from '../log/fold.ts';
import { openLog } from '../log/log.ts';
import type { AuditLog } from '../log/log.ts';
import { canonicalJson } from '../protocol/canonical.ts';
import { acceptOwn, newId } from '../server/accept.ts';
import { createHandler } from '../server/handler.ts';
import { listenHealth } from '../server/health-adapter.ts';
import { listen } from '../server/listen-adapter.ts';
import type { Listening } from '../server/listen-adapter.ts';
import { plainFingerprint } from '../server/policy.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { refusalLog } from '../server/refusals.ts';
import { figures } from './figures.ts';
import { childEnvironment, readableByOthers } from './system-adapter.ts';
import { placesIn } from './places.ts';

export const BRIDGE_VERSION = '0.1.0';

/** How soon a set-aside VM's time and an admin command are seen. */
const SLOW_LOOP_MS = 1_000;
/** How soon a change of bridge.yaml counts: a revoked client is out within a second. */
const POLICY_POLL_MS = 250;
/** A purge that failed is tried again after this. */
const PURGE_RETRY_MS = 3_600_000;
/** A job's stored log; Packer at its most talkative writes some MB. */
export const JOB_LOG_LIMIT_BYTES = 64 * 1024 * 1024;

export interface BridgePorts {
  disk: Disk;
  processes: Processes;
  clock: Clock;
  random: Random;
  /** One structured line of the service's own output. */
  say(event: string, fields?: object): void;
}

export interface Bridge {
  port: number;
  /** Absent when bridge.yaml asks for no health answer. */
  healthPort?: number | undefined;
  /** Takes no more requests and ends without ending supervisors. */
  stop(): Promise<void>;
}

/**
 * `changed`: another text of bridge.yaml than was seen last, if there is one; throws when it is broken, and the
 * policy in force stays.
 */
export async function startBridge(
  atStart: BridgePolicy,
  ports: BridgePorts,
  changed: () => BridgePolicy | undefined = () => undefined,
): Promise<Bridge> {
  let policy = atStart;
  const { disk, clock, random, processes, say } = ports;
  const places = placesIn(policy.dataDir);
  const cert = text(disk, places.serverCertificate);
  const key = text(disk, places.serverKey);
  if (cert === undefined || key === undefined) {
    throw new CodedError('NC2010', `There is no server certificate in ${policy.dataDir}: run init first.`);
  }
  if (readableByOthers(places.serverKey)) throw new CodedError('NC2011', places.serverKey);
  takeLock(places.lock, disk, processes);
  disk.makeDir(places.jobs);

  const log = openLog({ disk, clock, path: places.log, bootId: newId(random) });
  log.append({ event: 'boot', bridgeVersion: BRIDGE_VERSION });
  const report = (line: string) => say('trouble', { line });
  const engine = engineOf(policy);
  const host = createHost({
    policy: () => policy,
    records: records(disk, places.records),
    disk,
    clock,
    random,
    runScript: scriptRunner(engine, { processes, clock, random }),
  });
  const operations = new Map<string, HostOperation>([
    ['image.build', imageBuild(host)],
    ['vm.create', vmCreate(host)],
    ['vm.stop', vmStop(host)],
    ['vm.delete', vmDelete(host)],
    ['dns.swap', dnsSwap(host)],
    [PURGE_OPERATION, vmPurge(host)],
  ]);
  let waiters: (() => void)[] = [];
  const lanes = createLanes({
    ...{ log, disk, processes, clock, random, engine, operations, report },
    jobsDir: places.jobs,
    logLimitBytes: JOB_LOG_LIMIT_BYTES,
    onEnded(job) {
      host.changed();
      say('jobEnded', { job: job.id, op: job.op, state: job.state, error: job.error });
      const woken = waiters;
      waiters = [];
      woken.forEach((wake) => wake());
    },
  });
  const accepting = { log, disk, lanes, clock, random, jobsDir: places.jobs };
  const certificateExpiresAt = new Date(new X509Certificate(cert).validTo).toISOString();
  const handler = createHandler({
    ...{ log, disk, clock, lanes, accepting, report },
    policy: () => policy,
    jobsDir: places.jobs,
    reads: {
      host,
      state: log.state,
      bridgeVersion: BRIDGE_VERSION,
      certificateExpiresAt,
    },
    noteRefusal: refusalLog(log, clock),
    nextEnd: () => new Promise<void>((resolve) => waiters.push(resolve)),
  });
  lanes.recover();

  const stopping = new AbortController();
  const listening: Listening = await listen({
    ...policy.listen,
    ...{ key, cert, handler },
    clientCertificates: () => clientCertificates(policy, disk),
    clientOf: (print) =>
      policy.clients.find(
        ({ fingerprint }) => fingerprint !== undefined && plainFingerprint(fingerprint) === print,
      ),
    head: () => `${log.head().seq}:${log.head().hash}`,
  });
  const health =
    policy.health === undefined
      ? undefined
      : await listenHealth({
          ...policy.health,
          trouble: () => (log.writable() ? undefined : 'the log cannot be written'),
          figures: () => figures(log, listening.connections(), certificateExpiresAt),
        });
  const slowLoop = (async () => {
    while (!stopping.signal.aborted) {
      try {
        takeAdminEntries(places.admin, disk, log);
        purgeDue();
      } catch (error) {
        report(String(error));
      }
      await clock.sleep(SLOW_LOOP_MS, stopping.signal).catch(() => {});
    }
  })();

  const policyLoop = (async () => {
    while (!stopping.signal.aborted) {
      takePolicy();
      await clock.sleep(POLICY_POLL_MS, stopping.signal).catch(() => {});
    }
  })();

  function takePolicy(): void {
    let next: BridgePolicy | undefined;
    try {
      next = changed();
    } catch (error) {
      const evidence = error instanceof CodedError ? error.evidence : [];
      say('policyRefused', { problem: String(error), evidence, inForce: 'the policy before' });
    }
    if (next === undefined) return;
    const file = next;
    const atNextStart = AT_START_ONLY.filter(
      (key) => canonicalJson(file[key] ?? null) !== canonicalJson(atStart[key] ?? null),
    );
    policy = { ...file, ...kept(atStart) };
    try {
      listening.policyChanged();
      log.append({ event: 'policy', clients: policy.clients.map(({ name }) => name) });
    } catch (error) {
      report(String(error));
    }
    say('policyTaken', { clients: policy.clients.length, atNextStart });
  }

  function purgeDue(): void {
    const nowMs = clock.now();
    for (const { id, setAside } of host.records.all()) {
      if (!setAside || Date.parse(setAside.purgeAt) > nowMs) continue;
      const target = `purge:${id}`;
      const before = [...log.state.jobs.values()].filter((job) => job.target === target).at(-1);
      if (before && (!isFinished(before) || nowMs - Date.parse(before.endedAt ?? '') < PURGE_RETRY_MS))
        continue;
      acceptOwn(accepting, PURGE_OPERATION, 'vm', target, { id }, sha256Hex(canonicalJson({ id })));
    }
  }

  return {
    port: listening.port,
    healthPort: health?.port,
    async stop() {
      stopping.abort();
      await Promise.all([listening.close(), health?.close()]);
      await Promise.all([slowLoop, policyLoop]);
      await lanes.stop();
      log.close();
      disk.remove(places.lock);
    },
  };
}

/** What a running bridge has built itself on. */
const AT_START_ONLY = ['listen', 'health', 'engine', 'scriptsDir', 'dataDir'] as const;

function kept(policy: BridgePolicy): Pick<BridgePolicy, (typeof AT_START_ONLY)[number]> {
  const { listen: door, health, engine, scriptsDir, dataDir } = policy;
  return { listen: door, engine, scriptsDir, dataDir, ...(health === undefined ? {} : { health }) };
}

export function engineOf(policy: BridgePolicy): Engine {
  for (const path of [policy.engine.file, policy.scriptsDir]) {
    if (!isAbsolute(path))
      throw new CodedError(
        'NC2010',
        `${path} must be an absolute path: a relative one depends on who starts the bridge.`,
      );
  }
  return {
    ...policy.engine,
    script: (name) => join(policy.scriptsDir, `${name}.ps1`),
    env: childEnvironment(),
  };
}

/** Those on the disk whose fingerprint the policy lists: a file alone grants nothing. */
function clientCertificates(policy: BridgePolicy, disk: Disk): string[] {
  return policy.clients.flatMap(({ name, fingerprint }) => {
    const pem = text(disk, placesIn(policy.dataDir).clientCertificate(name));
    if (pem === undefined || fingerprint === undefined) return [];
    const print = new X509Certificate(pem).fingerprint256;
    return plainFingerprint(print) === plainFingerprint(fingerprint) ? [pem] : [];
  });
}

/** Two bridges over one log would break its chain. */
function takeLock(path: string, disk: Disk, processes: Processes): void {
  const holder = text(disk, path);
  const self = processes.self();
  if (holder !== undefined) {
    const other = JSON.parse(holder) as ProcessId;
    if (other.pid !== self.pid && processes.isAlive(other)) {
      throw new CodedError(
        'NC2010',
        `A bridge with process id ${other.pid} already serves this data folder.`,
      );
    }
    disk.remove(path);
  }
  if (!disk.createExclusive(path, JSON.stringify(self)))
    throw new CodedError('NC2010', 'Another bridge is just starting.');
}

function takeAdminEntries(dir: string, disk: Disk, log: AuditLog): void {
  for (const name of disk.list(dir)) {
    if (!name.endsWith('.json')) continue;
    const path = join(dir, name);
    const { what, vmId, cluster, node, at } = JSON.parse(text(disk, path) ?? '{}') as Record<string, string>;
    log.append({
      event: 'admin',
      what: what ?? '',
      vmId: vmId ?? '',
      cluster: cluster ?? '',
      node: node ?? '',
      at: at ?? '',
    });
    disk.remove(path);
  }
}

export function text(disk: Disk, path: string): string | undefined {
  const bytes = disk.read(path);
  return bytes && new TextDecoder().decode(bytes);
}
