/** The bridge from a request's bytes to its log, without socket, disk and children. */
import { emptyState } from '../../../agent-bridge/log/fold.ts';
import { openLog } from '../../../agent-bridge/log/log.ts';
import { createHandler } from '../../../agent-bridge/server/handler.ts';
import type { Handler } from '../../../agent-bridge/server/handler.ts';
import type { BridgePolicy, ClientPolicy } from '../../../agent-bridge/server/policy.ts';
import { random } from '../../../ports/random.ts';
import { OWNED } from './world.ts';

export interface InProcess {
  handler: Handler;
  client(name: string): ClientPolicy;
  /** The host's clock, and how many jobs wait in each lane: both are the test's to set. */
  nowMs: number;
  waiting: number;
  /** What was done so far. */
  folders: number;
  entries: Record<string, unknown>[];
}

export function inProcess(policy: BridgePolicy): InProcess {
  const self: InProcess = {
    handler: () => Promise.reject(new Error('not yet')),
    client: (name) => policy.clients.find((one) => one.name === name) as ClientPolicy,
    nowMs: Date.parse('2026-05-01T12:00:00Z'),
    waiting: 0,
    folders: 0,
    entries: [],
  };
  const clock = { now: () => self.nowMs, sleep: () => Promise.resolve() };
  const disk = {
    read: () => undefined,
    readRange: () => new Uint8Array(),
    size: () => undefined,
    write: () => undefined,
    createExclusive: () => true,
    openAppend: () => ({
      append(line: string | Uint8Array) {
        self.entries.push(JSON.parse(String(line)) as Record<string, unknown>);
      },
      cut: () => undefined,
      close: () => undefined,
    }),
    list: () => [],
    makeDir() {
      self.folders += 1;
    },
    remove: () => undefined,
  };
  const log = openLog({
    ...{ disk, clock, path: 'log', bootId: 'fuzz' },
    reserve: { ready: () => true, spend: (write) => write() },
  });
  const lanes = {
    recover: () => undefined,
    pump: () => undefined,
    waiting: () => self.waiting,
    cancel: () => undefined,
    stop: () => Promise.resolve(),
  };
  const host = {
    policy: () => policy,
    records: {
      get: (id: string) =>
        Object.hasOwn(OWNED, id)
          ? {
              ...{ v: 1 as const, id, cluster: OWNED[id] ?? '', node: 'n', by: 'created' as const },
              ...{ at: '2026-01-01T00:00:00Z', sshHostKeys: [] },
            }
          : undefined,
      all: () => [],
      put: () => undefined,
      remove: () => undefined,
    },
    disk,
    clock,
    random,
    failedCreation: () => false,
    run: () => Promise.resolve({ servers: [] } as never),
    vms: () => Promise.resolve([]),
    capacity: () => Promise.reject(new Error('not asked for here')),
    images: () => Promise.resolve([]),
    overview: () => Promise.resolve({ info: {} as never, images: [] }),
    changed: () => undefined,
  };
  self.handler = createHandler({
    ...{ log, disk, clock, lanes, jobsDir: 'jobs' },
    accepting: { log, disk, lanes, clock, random, jobsDir: 'jobs' },
    policy: () => policy,
    reads: {
      ...{ host, bridgeVersion: '1', certificateExpiresAt: '2027-01-01T00:00:00Z' },
      // Of its own: listing thousands of jobs at each read is not what is tried here.
      state: emptyState(),
    },
    noteRefusal: () => undefined,
    nextEnd: () => Promise.resolve(),
    report(line) {
      throw new Error(line);
    },
  });
  return self;
}
