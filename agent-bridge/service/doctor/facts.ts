/** What `doctor` looks at: the facts of one installation, read and not judged. */
import { dirname, isAbsolute, join } from 'node:path';
import { CodedError } from '../../../ports/errors.ts';
import type { Clock } from '../../../ports/ports.ts';
import { foreignScripts, SCRIPT_TEXTS } from '../../host/script-texts.ts';
import type { ProcessId, Processes } from '../../jobs/processes.ts';
import type { Disk } from '../../log/disk.ts';
import { logFiles } from '../../log/files.ts';
import { verifyFiles } from '../../log/verify.ts';
import { fingerprintsOf } from '../../server/policy.ts';
import type { BridgePolicy } from '../../server/policy.ts';
import { certificatesIn } from '../certificates/client-certificates.ts';
import type { KeptCertificate } from '../certificates/client-certificates.ts';
import { placesIn } from '../places.ts';
import { headIn } from '../event-log.ts';
import { openPolicy } from '../policy-file.ts';
import { pairOf } from '../certificates/served-certificate.ts';
import { text } from '../text.ts';
import type { WindowsFacts } from './windows-probe.ts';

/** The machine, as far as the ports do not show it. */
export interface Look {
  /** undefined: there is nothing. `mode` has permission bits, where the system has them. */
  file(path: string): { folder: boolean; mode?: number; executable: boolean } | undefined;
  /** Of the volume; throws when the path is not there. */
  freeBytes(path: string): number;
  port(host: string, port: number): Promise<'free' | 'taken' | { failed: string }>;
  /** What doctor itself runs from: this bundle, and Node. */
  runs: { what: string; path: string }[];
  /** Absent where there is no Windows to ask. `engine` is PowerShell; the ACLs of `paths` are looked at. */
  windows?(engine: string, paths: readonly string[]): Promise<WindowsFacts>;
}

export interface Facts {
  configPath: string;
  /** What is wrong with bridge.yaml; the rest is then not known. */
  configFaults: string[];
  installation?: Installation;
}

export interface Guarded {
  what: string;
  path: string;
  /** Others must not even read it. */
  secret: boolean;
  /** The bridge's own account writes here; everywhere else it must not be able to. */
  ofService?: boolean;
  found: ReturnType<Look['file']>;
}

export interface Installation {
  nowMs: number;
  /** What could not be looked at, and why. */
  unreadable: string[];
  guarded: Guarded[];
  server: { certificate?: KeptCertificate; keyFits: boolean; next?: KeptCertificate };
  clients: { name: string; listed: string[]; kept: KeptCertificate[] }[];
  /** Certificates in the data folder that no client of bridge.yaml lists. */
  unlisted: { path: string; fingerprint: string }[];
  programs: { what: string; path: string; there: boolean; executable: boolean }[];
  /** Paths of bridge.yaml that depend on who starts the bridge. */
  relative: string[];
  missingScripts: string[];
  scriptsDir: string;
  log: {
    files: number;
    entries: number;
    faults: string[];
    tornBytes: number;
    highestMs: number;
    lastSeq: number;
    /** Of the entry that the Event Log has as its newest. */
    hashAt?: string;
  };
  /** What bridge.yaml asks for. */
  needs: { dns: boolean; packer: boolean; eventLog: boolean };
  /** Absent where there is no Windows. */
  windows?: WindowsFacts | { failed: string };
  /** Who holds the lock of the data folder; undefined: nobody. */
  holder?: { pid: number; alive: boolean };
  disks: { what: string; path: string; freeBytes: number; leastBytes: number }[];
  listen: { host: string; port: number; state: Awaited<ReturnType<Look['port']>> };
}

export interface LookPorts {
  disk: Disk;
  clock: Clock;
  processes: Processes;
  machine: Look;
}

/** Room for the log and the logs of jobs: three lanes may fill 64 MB each before anything is forgotten. */
const DATA_LEAST_BYTES = 512 * 1024 * 1024;

export async function lookAt(configPath: string, ports: LookPorts): Promise<Facts> {
  try {
    const { policy } = openPolicy(configPath, ports.disk);
    return { configPath, configFaults: [], installation: await installationOf(configPath, policy, ports) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { configPath, configFaults: error.evidence.length > 0 ? [...error.evidence] : [error.detail] };
  }
}

async function installationOf(
  configPath: string,
  policy: BridgePolicy,
  { disk, clock, processes, machine }: LookPorts,
): Promise<Installation> {
  const places = placesIn(policy.dataDir);
  const unreadable: string[] = [];
  const attempt = <T>(what: string, look: () => T, otherwise: T): T => {
    try {
      return look();
    } catch (error) {
      unreadable.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return otherwise;
    }
  };
  const read = (path: string) => attempt(path, () => text(disk, path), undefined) ?? '';
  const look = (path: string) => attempt(path, () => machine.file(path), undefined);
  const guard = (what: string, path: string, more: Partial<Guarded> = {}): Guarded => ({
    ...{ what, path, secret: false, found: look(path) },
    ...more,
  });

  const [certificate] = certificatesIn(read(places.serverCertificate));
  const [next] = certificatesIn(read(places.nextCertificate));
  const clients = policy.clients.map((client) => ({
    name: client.name,
    listed: fingerprintsOf(client),
    kept: certificatesIn(read(places.clientCertificate(client.name))),
  }));
  const listed = new Set(clients.flatMap((client) => client.listed));
  const unlisted = attempt(places.clients, () => disk.list(places.clients), [])
    .filter((name) => name.endsWith('.pem'))
    .map((name) => join(places.clients, name))
    .flatMap((path) => certificatesIn(read(path)).map(({ fingerprint }) => ({ path, fingerprint })))
    .filter(({ fingerprint }) => !listed.has(fingerprint));

  const scripts = [...SCRIPT_TEXTS.keys()];
  const templates = Object.entries(policy.images).flatMap(([name, { template, sources }]) =>
    [template, ...sources].map((path) => ({ what: `Image ${name}`, path })),
  );
  const programs = [
    { what: 'The engine', path: policy.engine.file },
    ...(policy.packer === undefined ? [] : [{ what: 'Packer', path: policy.packer }]),
  ].map((program) => {
    const found = look(program.path);
    return {
      ...program,
      there: found !== undefined && !found.folder,
      executable: found?.executable === true,
    };
  });
  const guarded = [
    guard('bridge.yaml', configPath),
    guard('The folder of bridge.yaml', dirname(configPath)),
    guard('The data folder', policy.dataDir, { secret: true, ofService: true }),
    guard('The folder of the server’s keys', places.keys, { secret: true }),
    guard('The server’s key', places.serverKey, { secret: true }),
    ...(next === undefined ? [] : [guard('The server’s next key', places.nextKey, { secret: true })]),
    guard('The client list', places.clients),
    ...machine.runs.map(({ what, path }) => guard(what, path)),
    guard('The folder of the scripts', policy.scriptsDir),
    ...scripts.map((name) => guard('A script', join(policy.scriptsDir, name))),
    ...templates.map(({ what, path }) => guard(what, path)),
    ...programs.map(({ what, path }) => guard(what, path)),
  ];

  const disks = [
    { what: 'The data folder', path: policy.dataDir, leastBytes: DATA_LEAST_BYTES },
    { what: 'vmRoot', path: policy.vmRoot, leastBytes: policy.reserveDiskBytes },
    { what: 'imageRoot', path: policy.imageRoot, leastBytes: policy.reserveDiskBytes },
  ].map((one) => ({ ...one, freeBytes: attempt(one.path, () => machine.freeBytes(one.path), -1) }));

  const windows = await machine
    .windows?.(
      policy.engine.file,
      guarded.filter(({ found }) => found !== undefined).map(({ path }) => path),
    )
    .catch((error: unknown) => ({ failed: error instanceof Error ? error.message : String(error) }));
  const copied = windows === undefined || 'failed' in windows ? undefined : headIn(windows.newestEvent);

  const holder = attempt(
    places.lock,
    () => JSON.parse(read(places.lock) || 'null') as ProcessId | null,
    null,
  );
  return {
    nowMs: clock.now(),
    unreadable,
    guarded,
    server: {
      ...(certificate === undefined ? {} : { certificate }),
      keyFits: certificate !== undefined && pairOf(certificate.pem, read(places.serverKey)) !== undefined,
      ...(next === undefined ? {} : { next }),
    },
    clients,
    unlisted,
    programs,
    relative: [policy.engine.file, policy.scriptsDir].filter((path) => !isAbsolute(path)),
    missingScripts: attempt('scripts', () => foreignScripts(disk, policy.scriptsDir), []),
    scriptsDir: policy.scriptsDir,
    log: attempt(places.log, () => logOf(disk, places.log, copied?.seq), {
      ...{ files: 0, entries: 0, faults: [], tornBytes: 0, highestMs: 0, lastSeq: 0 },
    }),
    needs: {
      dns: Object.keys(policy.zones).length > 0,
      packer: policy.packer !== undefined,
      eventLog: policy.eventLog,
    },
    ...(windows === undefined ? {} : { windows }),
    ...(holder === null ? {} : { holder: { pid: holder.pid, alive: processes.isAlive(holder) } }),
    disks: disks.filter(({ freeBytes }) => freeBytes >= 0),
    listen: { ...policy.listen, state: await machine.port(policy.listen.host, policy.listen.port) },
  };
}

function logOf(disk: Disk, path: string, seq: number | undefined): Installation['log'] {
  let highestMs = 0;
  let hashAt: string | undefined;
  const { head, entries, faults, tornBytes } = verifyFiles(disk, path, (entry) => {
    if (entry.seq === seq) hashAt = entry.hash;
    const folded = entry.event === 'rotated' ? entry.state.highestMs : 0;
    highestMs = Math.max(highestMs, folded, Date.parse(entry.ts));
  });
  const files = logFiles(disk, path).length;
  return {
    ...{ files, entries, faults, tornBytes, highestMs, lastSeq: head.seq },
    ...(hashAt === undefined ? {} : { hashAt }),
  };
}
