/**
 * The Hyper-V host's own machine: its disk, its processes, and on them the real bridge and its real supervisors. A
 * process that is killed leaves its files and its children; the bridge that is started again finds them.
 */
import { X509Certificate } from 'node:crypto';
import { supervise } from '../../agent-bridge/jobs/supervise.ts';
import { JOB_MARK, type Child, type ProcessId, type Processes } from '../../agent-bridge/jobs/processes.ts';
import type { ListenOptions } from '../../agent-bridge/server/listen-adapter.ts';
import type { BridgePolicy } from '../../agent-bridge/server/policy.ts';
import { LOG_HEAD_HEADER } from '../../agent-bridge/protocol/wire.ts';
import { startBridge, type BridgePorts } from '../../agent-bridge/service/bridge.ts';
import type { LabWorld } from '../../lab/world/create.ts';
import { PortError, type HttpRequest, type HttpResponse, type Random } from '../../ports/ports.ts';
import { clockOf, heardBy, life, type Life, type VirtualTime } from '../time.ts';
import { response } from './http.ts';
import { diskOf, type Storage } from './storage.ts';

export interface BridgeMachine {
  readonly url: string;
  readonly store: Storage;
  request(
    request: Pick<HttpRequest, 'method' | 'headers' | 'body' | 'tls'> & { path: string },
    signal: AbortSignal,
  ): Promise<HttpResponse>;
  /** Starts the bridge; nothing when it runs. */
  start(): Promise<void>;
  /** SIGKILL for the bridge; its supervisors go on. */
  kill(): void;
  /** SIGKILL for every supervisor that runs; how many that were. */
  killSupervisors(): number;
  /** Nobody reaches the host. */
  away: boolean;
  /** How far the host's clock is off. */
  skewMs: number;
  readonly running: boolean;
  /** For admin commands on the host. */
  ports(): BridgePorts;
}

interface Living {
  id: ProcessId;
  mark: string;
  life: Life;
  end(): void;
}

const ENDING_MS = 5;

export function bridgeMachine(options: {
  time: VirtualTime;
  world: LabWorld;
  host: string;
  url: string;
  store: Storage;
  policy: BridgePolicy;
  random: Random;
  serverPin: string;
  report(event: string, fields: object): void;
}): BridgeMachine {
  const { time, world, host, store, policy } = options;
  const living = new Map<number, Living>();
  const pins = new Map<string, string>();
  let lastPid = 1000;
  let current: { life: Life; door: ListenOptions } | undefined;

  const begin = (mark: string, who: Life, end: () => void): Living => {
    lastPid += 1;
    const process: Living = { id: { pid: lastPid, startTime: `t${lastPid}` }, mark, life: who, end };
    living.set(lastPid, process);
    who.onKill(() => living.delete(process.id.pid));
    return process;
  };

  function startChild(who: Life, start: Parameters<Processes['startChild']>[0]): Child {
    const gone = new AbortController();
    const own = life('child');
    const process = begin(start.env[JOB_MARK] ?? '', own, () => gone.abort());
    const script = start.args.at(-1) ?? '';
    const ended = world.hosts.engine(host, script, start.stdin, gone.signal).then((result) => {
      own.kill();
      if (gone.signal.aborted) return { exitCode: null, signal: 'SIGKILL' };
      if (!who.dead) {
        start.onStdout(Buffer.from(result.stdout, 'utf8'));
        start.onStderr(Buffer.from(result.stderr, 'utf8'));
      }
      return { exitCode: result.exitCode, signal: null };
    });
    return { pid: process.id.pid, ended: heardBy(who, ended) };
  }

  const processesOf = (who: Life, self: () => ProcessId): Processes => ({
    self,
    identify: (pid) => living.get(pid)?.id,
    startChild: (start) => startChild(who, start),
    startSupervisor(jobDir, mark) {
      const own = life('supervisor');
      const process = begin(mark, own, () => own.kill());
      const ports = {
        disk: diskOf(store, () => !own.dead),
        processes: processesOf(own, () => process.id),
        clock: clockOf(time, own, () => machine.skewMs),
      };
      const ended = new Promise<void>((resolve) => {
        own.onKill(() => resolve());
        supervise(jobDir, ports).then(
          () => own.kill(),
          (error: unknown) => {
            options.report('supervisor failed', { error: String(error) });
            own.kill();
          },
        );
      });
      return { pid: process.id.pid, ended: heardBy(who, ended) };
    },
    ownCommand: (word) => ({ file: 'bridge', args: [word] }),
    isAlive: (id) => living.get(id.pid)?.id.startTime === id.startTime,
    async endTree(root, mark) {
      const mine = self().pid;
      for (const process of [...living.values()]) {
        if (process.id.pid === mine || process.life === who) continue;
        if (process.id.pid !== root && process.mark !== mark) continue;
        process.end();
      }
      await heardBy(
        who,
        new Promise<void>((resolve) => {
          time.after(ENDING_MS, () => resolve());
        }),
      );
      return 0;
    },
  });

  const portsFor = (who: Life): BridgePorts => {
    const process = begin('', who, () => who.kill());
    return {
      disk: diskOf(store, () => !who.dead),
      processes: processesOf(who, () => process.id),
      clock: clockOf(time, who, () => machine.skewMs),
      random: options.random,
      say: (event, fields = {}) => options.report(event, fields),
      listen(door) {
        current = { life: who, door };
        return Promise.resolve({
          port: 8443,
          connections: () => 0,
          strangers: () => 0,
          policyChanged() {},
          close: () => Promise.resolve(),
        });
      },
    };
  };

  const machine: BridgeMachine = {
    url: options.url,
    store,
    away: false,
    skewMs: 0,
    get running() {
      return current !== undefined;
    },
    ports: () => portsFor(life('admin')),
    async start() {
      if (current !== undefined) return;
      await startBridge(policy, portsFor(life('bridge')));
    },
    kill() {
      current?.life.kill();
      current = undefined;
    },
    killSupervisors() {
      const running = [...living.values()].filter((process) => process.life.name === 'supervisor');
      for (const process of running) process.life.kill();
      return running.length;
    },
    async request({ method, headers, body, tls, path }, signal) {
      const failed = (kind: PortError['kind'], text: string, sent = false) =>
        new PortError(kind, 'http', text, sent);
      if (machine.away) throw failed('unreachable', 'the host does not answer');
      const serving = current;
      if (serving === undefined) throw failed('refused', 'connection refused');
      if (tls?.pinSha256 === undefined || ![tls.pinSha256].flat().includes(options.serverPin))
        throw failed('tls', 'the certificate has another fingerprint than the pin');
      const client = serving.door.clientOf(printOf(pins, tls.cert ?? ''));
      if (client === undefined) throw failed('tls', 'certificate required');
      const incoming = {
        method,
        target: path,
        headers: headers ?? {},
        body: typeof body === 'string' ? Buffer.from(body) : (body ?? new Uint8Array()),
        signal,
      };
      const answer = await new Promise<Awaited<ReturnType<ListenOptions['handler']>>>((resolve, reject) => {
        const forget = serving.life.onKill(() => reject(failed('closed', 'the bridge was killed', true)));
        serving.door.handler(client, incoming).then(
          (value) => {
            forget();
            if (!serving.life.dead) resolve(value);
          },
          (error: unknown) => {
            forget();
            reject(error);
          },
        );
      });
      return response(
        answer.status,
        { ...answer.headers, [LOG_HEAD_HEADER]: serving.door.head() },
        answer.body,
      );
    },
  };
  return machine;
}

function printOf(known: Map<string, string>, pem: string): string {
  const found = known.get(pem);
  if (found !== undefined) return found;
  const print = pem === '' ? '' : new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
  known.set(pem, print);
  return print;
}
