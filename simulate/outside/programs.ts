/** The programs that a task starts, behind the `Run` port: rke under its lock, an ssh-agent, nsupdate. */
import { rke } from '../../lab/world/rke/rke.ts';
import type { RkeFile, RkeSurroundings } from '../../lab/world/rke/rke.ts';
import { filesToRead } from '../../lab/world/rke/request.ts';
import { LOCKED } from '../../cycle/cluster/rke/start.ts';
import { PortError, type RunRequest, type RunResult } from '../../ports/ports.ts';
import type { Storage } from './storage.ts';
import type { Zone } from './zone.ts';

export interface Machine {
  store: Storage;
  rkeBinary: string;
  rke: RkeSurroundings;
  zone: Zone;
  nodeKey: { private: string; public: string };
  /** Somebody ends rke so long after its start. */
  rkeEndsInMs(): number | undefined;
}

export interface Programs {
  run(request: RunRequest, signal: AbortSignal): Promise<RunResult>;
  /** What a program is, for the trace. */
  nameOf(request: RunRequest): string;
}

export function programs(machine: Machine): Programs {
  const locks = new Set<string>();
  const agents = new Map<string, string[]>();
  const ended = (exitCode: number, stdout = '', stderr = ''): RunResult => ({
    exitCode,
    signal: null,
    stdout,
    stderr,
  });
  const { store } = machine;

  function agent(socket: string, signal: AbortSignal): Promise<RunResult> {
    agents.set(socket, []);
    store.put(socket, '');
    return new Promise((_resolve, reject) => {
      const end = () => {
        agents.delete(socket);
        store.remove(socket);
        reject(new PortError('aborted', 'run', 'ssh-agent was ended'));
      };
      if (signal.aborted) end();
      else signal.addEventListener('abort', end, { once: true });
    });
  }

  async function runRke(
    request: RunRequest,
    args: readonly string[],
    signal: AbortSignal,
  ): Promise<RunResult> {
    const cwd = request.cwd ?? '/';
    const home = request.env['HOME'] ?? '/root';
    const files: Record<string, RkeFile> = {};
    const bring = (paths: string[]) => {
      for (const path of paths) {
        const text = store.text(path);
        files[path] =
          text === undefined
            ? { kind: 'missing' }
            : { kind: 'file', text, mode: store.files.get(path)?.mode ?? 0o600 };
      }
    };
    const [config = '', ...others] = filesToRead(args, cwd, home);
    bring([config, ...others]);
    const found = files[config];
    bring(filesToRead(args, cwd, home, found?.kind === 'file' ? found.text : ''));
    const socket = request.env['SSH_AUTH_SOCK'];
    const agentKeys = socket === undefined ? undefined : agents.get(socket);
    let stdout = '';
    let code: number | undefined;
    const gone = new AbortController();
    const end = () => gone.abort();
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    const endsInMs = args.includes('up') ? machine.rkeEndsInMs() : undefined;
    if (endsInMs !== undefined) machine.rke.world.clock.after(endsInMs, end);
    const asked = { argv: args, cwd, home, tty: false, files, agentKeys };
    for await (const event of rke(asked, machine.rke, gone.signal)) {
      if (event.kind === 'line') {
        if (event.stream === 'stdout') stdout += `${event.line}\n`;
        request.onLine?.(event.line, event.stream);
      } else if (event.kind === 'text') stdout += event.text;
      else if (event.kind === 'write')
        store.put(event.path, event.text, store.files.get(event.path)?.mode ?? event.mode);
      else if (event.kind === 'move') {
        store.put(event.to, store.text(event.from) ?? '');
        store.remove(event.from);
      } else if (event.kind === 'remove') store.remove(event.path);
      else code = event.code;
    }
    if (code === undefined) return { exitCode: null, signal: 'SIGKILL', stdout, stderr: '' };
    return ended(code, stdout);
  }

  return {
    nameOf({ file, args }) {
      if (file === 'sh') return args[2] === 'rke' ? 'rke up' : (args[2] ?? 'sh');
      return file === machine.rkeBinary
        ? `rke ${args.filter((word) => !word.includes('/')).join(' ')}`
        : file;
    },
    async run(request, signal) {
      const { file, args } = request;
      if (file === 'sh' && args[2] === 'ssh-agent') return agent(args[3] ?? '', signal);
      if (file === 'sh' && args[2] === 'rke') {
        const lock = args[3] ?? '';
        if (locks.has(lock)) return ended(LOCKED);
        locks.add(lock);
        store.put(lock, 'another task');
        try {
          return await runRke(request, args.slice(5), signal);
        } finally {
          locks.delete(lock);
        }
      }
      if (file === machine.rkeBinary) return runRke(request, args, signal);
      if (file === 'ssh-add') {
        const keys = agents.get(request.env['SSH_AUTH_SOCK'] ?? '');
        const given = String(request.stdin).trim();
        if (keys === undefined)
          return ended(2, '', 'Could not open a connection to your authentication agent.');
        if (given !== machine.nodeKey.private.trim()) return ended(1, '', 'Error loading key "(stdin)"');
        keys.push(machine.nodeKey.public);
        return ended(0);
      }
      if (file === 'nsupdate')
        return machine.zone.nsupdate(store.text(args[args.indexOf('-k') + 1] ?? ''), String(request.stdin));
      throw new PortError('notfound', 'run', `${file}: command not found`);
    },
  };
}
