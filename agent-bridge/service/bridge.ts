/**
 * The bridge put together: policy, log, lanes, handler, socket, and its chores.
 */
import { isAbsolute } from 'node:path';
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
import type { OpenShell } from '../host/session/shell.ts';
import { warmSession } from '../host/session/session.ts';
import { scriptPath } from '../host/script-texts.ts';
import type { Engine } from '../host/run-script.ts';
import type { HostOperation } from '../jobs/host-operation.ts';
import { createLanes } from '../jobs/lanes.ts';
import type { ProcessId, Processes } from '../jobs/processes.ts';
import type { Disk } from '../log/disk.ts';
import { isFinished } from '../log/fold.ts';
import { openLog } from '../log/log.ts';
import { openReserve } from '../log/reserve.ts';
import { canonicalJson } from '../protocol/canonical.ts';
import { newId } from '../server/accept.ts';
import { createHandler } from '../server/handler.ts';
import { listenHealth } from '../server/health-adapter.ts';
import { listen } from '../server/listen-adapter.ts';
import type { Listening } from '../server/listen-adapter.ts';
import { fingerprintsOf } from '../server/policy.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { refusalLog } from '../server/refusals.ts';
import { doChores } from './chores.ts';
import { listedCertificates } from './certificates/client-certificates.ts';
import { eventLogCopy } from './event-log.ts';
import { figures } from './figures.ts';
import { placesIn } from './places.ts';
import { servedCertificate } from './certificates/served-certificate.ts';
import { childEnvironment } from './system-adapter.ts';
import { text } from './text.ts';

export const BRIDGE_VERSION = '0.1.0';

/** How soon a change of bridge.yaml counts: a revoked client is out within a second. */
const POLICY_POLL_MS = 250;
/** A job's stored log; Packer at its most talkative writes some MB. */
export const JOB_LOG_LIMIT_BYTES = 64 * 1024 * 1024;

export interface BridgePorts {
  disk: Disk;
  processes: Processes;
  clock: Clock;
  random: Random;
  /** Absent: every read is a child of its own. */
  openShell?: OpenShell;
  /** Where requests come in; a TLS socket when absent. */
  listen?: typeof listen;
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
  const served = servedCertificate(policy.dataDir, disk);
  takeLock(places.lock, disk, processes);
  disk.makeDir(places.jobs);

  const reserve = openReserve(places.reserve, { disk, clock, random });
  const copy = policy.eventLog
    ? eventLogCopy({
        ...{ processes, clock, say },
        powershell: { file: policy.engine.file, env: childEnvironment() },
      })
    : undefined;
  const log = openLog({
    ...{ disk, clock, reserve },
    path: places.log,
    bootId: newId(random),
    onAppend: (entry, line) => copy?.offer(entry, line),
  });
  log.append({ event: 'boot', bridgeVersion: BRIDGE_VERSION });
  const report = (line: string) => say('trouble', { line });
  const engine = engineOf(policy, disk);
  const session =
    policy.engine.warm && ports.openShell
      ? warmSession(
          engine,
          { scriptsDir: policy.scriptsDir, request: places.request },
          { ...{ disk, processes, clock, random }, openShell: ports.openShell },
        )
      : undefined;
  const host = createHost({
    policy: () => policy,
    // A record is the end of a job.
    records: records(
      { ...disk, write: (path, data) => reserve.spend(() => disk.write(path, data)) },
      places.records,
    ),
    disk,
    clock,
    random,
    failedCreation(id) {
      const job = log.state.jobs.get(id);
      return job?.op === 'vm.create' && isFinished(job) && job.state !== 'succeeded';
    },
    runScript: scriptRunner(engine, { processes, clock, random }, session),
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
    ...{ log, disk, processes, clock, random, reserve, engine, operations, report },
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
  const refusals = refusalLog(log, clock);
  const accepting = { log, disk, lanes, clock, random, jobsDir: places.jobs };
  const handler = createHandler({
    ...{ log, disk, clock, lanes, accepting, report },
    policy: () => policy,
    jobsDir: places.jobs,
    reads: {
      host,
      state: log.state,
      bridgeVersion: BRIDGE_VERSION,
      get certificateExpiresAt() {
        return served.current().expiresAt;
      },
    },
    noteRefusal: refusals.note,
    nextEnd: () => new Promise<void>((resolve) => waiters.push(resolve)),
  });
  lanes.recover();

  const stopping = new AbortController();
  const listening: Listening = await (ports.listen ?? listen)({
    ...policy.listen,
    handler,
    // Read again whenever policyChanged is called.
    get key() {
      return served.current().key;
    },
    get cert() {
      return served.current().cert;
    },
    clientCertificates: () => listedCertificates(policy, disk),
    clientOf: (print) => policy.clients.find((client) => fingerprintsOf(client).includes(print)),
    head: () => `${log.head().seq}:${log.head().hash}`,
  });
  const health =
    policy.health === undefined
      ? undefined
      : await listenHealth({
          ...policy.health,
          trouble: () => (log.writable() ? undefined : 'the log cannot be written'),
          figures: () => figures(log, listening.connections(), served.current().expiresAt),
        });
  const chores = doChores(
    {
      ...{ log, disk, clock, accepting, report },
      policy: () => policy,
      host,
      adminDir: places.admin,
      strangers: listening.strangers,
      flushRefusals: refusals.flush,
    },
    stopping.signal,
  );
  const policyLoop = (async () => {
    while (!stopping.signal.aborted) {
      takePolicy();
      takeCertificate();
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

  function takeCertificate(): void {
    try {
      const next = served.changed();
      if (next === undefined) return;
      listening.policyChanged();
      say('certificateTaken', { fingerprint: next.fingerprint, expiresAt: next.expiresAt });
    } catch (error) {
      report(String(error));
    }
  }

  return {
    port: listening.port,
    healthPort: health?.port,
    async stop() {
      stopping.abort();
      await Promise.all([listening.close(), health?.close()]);
      await Promise.all([chores, policyLoop]);
      await lanes.stop();
      await session?.end();
      log.close();
      disk.remove(places.lock);
      await copy?.stop();
    },
  };
}

/** What a running bridge has built itself on. */
const AT_START_ONLY = ['listen', 'health', 'eventLog', 'engine', 'scriptsDir', 'dataDir'] as const;

function kept(policy: BridgePolicy): Pick<BridgePolicy, (typeof AT_START_ONLY)[number]> {
  const { listen: door, health, eventLog, engine, scriptsDir, dataDir } = policy;
  return { listen: door, eventLog, engine, scriptsDir, dataDir, ...(health === undefined ? {} : { health }) };
}

export function engineOf(policy: BridgePolicy, disk: Disk): Engine {
  for (const path of [policy.engine.file, policy.scriptsDir]) {
    if (!isAbsolute(path))
      throw new CodedError(
        'NC2010',
        `${path} must be an absolute path: a relative one depends on who starts the bridge.`,
      );
  }
  return {
    ...policy.engine,
    script: (name) => scriptPath(disk, policy.scriptsDir, name),
    env: childEnvironment(),
  };
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
