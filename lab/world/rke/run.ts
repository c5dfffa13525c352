/** One run of rke while it runs: its log, its files, its time, and its end. It dies where it is when its client goes. */
import type { EtcdCluster } from '../world.ts';
import type { LabWorld } from '../create.ts';
import type { Program } from './defaults.ts';
import { logLine } from './log.ts';
import type { Level } from './log.ts';
import type { Invocation, RkeEvent, RkeFile, RkePaths, RkeRequest } from './request.ts';

/** What of the world rke touches. */
export interface RkeSurroundings {
  world: Pick<
    LabWorld,
    'clock' | 'random' | 'machines' | 'machineAt' | 'emit' | 'startContainer' | 'stopContainer' | 'kube'
  >;
  etcd: EtcdCluster;
  /** Ports that are fixed in reality; here they can be moved. */
  ports: { ssh: number; api: number };
  program?: Program | undefined;
  /** 1: a role change takes 1.5 to 3 s. */
  pace?: number | undefined;
  /** Made to go wrong, by name of the member. */
  faults?: {
    /** The removal of a member fails while a surviving host is healthy: rke says that it succeeded. */
    etcdRemovalFails?: Set<string> | undefined;
    /** The snapshot container does not end: `Container [etcd-snapshot-once] did not exit in time`. */
    snapshotHangs?: boolean | undefined;
  };
}

/** Ends the run. */
export class Ended extends Error {
  constructor(readonly code: number) {
    super(`rke ended with ${String(code)}`);
  }
}

/** The client has gone: nothing further happens, and nothing is said. */
export class Killed extends Error {}

export interface Run {
  readonly around: RkeSurroundings;
  readonly program: Program;
  readonly request: RkeRequest;
  readonly invocation: Invocation;
  readonly paths: RkePaths;
  readonly signal: AbortSignal;
  nowMs(): number;
  info(message: string): void;
  warn(message: string): void;
  fatal(message: string): never;
  plain(line: string, stream?: 'stdout' | 'stderr'): void;
  send(event: RkeEvent): void;
  /** In milliseconds of a run at pace 1. */
  pause(ms: number): Promise<void>;
  /** A wait that only the end of the client ends. */
  hang(): Promise<never>;
  file(path: string): RkeFile;
  write(path: string, text: string, mode: number): void;
}

export function createRun(
  around: RkeSurroundings,
  request: RkeRequest,
  invocation: Invocation,
  paths: RkePaths,
  program: Program,
  signal: AbortSignal,
  send: (event: RkeEvent) => void,
): Run {
  const { clock } = around.world;
  const style = { tty: request.tty, startedMs: clock.nowMs() };
  const files = new Map(Object.entries(request.files));
  const check = () => {
    if (signal.aborted) throw new Killed();
  };
  const log = (level: Level, message: string) => {
    check();
    if (invocation.quiet) return;
    send({ kind: 'line', stream: 'stdout', line: logLine(style, level, message, clock.nowMs()) });
  };
  return {
    around,
    program,
    request,
    invocation,
    paths,
    signal,
    nowMs: () => clock.nowMs(),
    info: (message) => {
      log('info', message);
    },
    warn: (message) => {
      log('warning', message);
    },
    fatal(message) {
      log('fatal', message);
      throw new Ended(1);
    },
    plain(line, stream = 'stdout') {
      check();
      if (!invocation.quiet) send({ kind: 'line', stream, line });
    },
    send,
    pause(ms) {
      check();
      return new Promise((resolve, reject) => {
        const timer = clock.after(ms * (around.pace ?? 1), () => {
          signal.removeEventListener('abort', stop);
          resolve();
        });
        const stop = () => {
          timer.cancel();
          reject(new Killed());
        };
        signal.addEventListener('abort', stop, { once: true });
      });
    },
    hang: () =>
      new Promise<never>((_, reject) => {
        const stop = () => {
          reject(new Killed());
        };
        if (signal.aborted) stop();
        else signal.addEventListener('abort', stop, { once: true });
      }),
    file: (path) => files.get(path) ?? { kind: 'missing' },
    write(path, text, mode) {
      check();
      const before = files.get(path);
      files.set(path, { kind: 'file', text, mode: before?.kind === 'file' ? before.mode : mode });
      send({ kind: 'write', path, text, mode });
    },
  };
}
