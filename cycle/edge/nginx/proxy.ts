/**
 * nginx on the external load balancer, over SSH: what is there, and a change that counts only when it is in
 * force. Every word goes through the account's one fixed script (node-cycle-proxy.sh).
 */
import type { Random, Ssh, SshTarget, Wait } from '../../../ports/ports.ts';
import { CodedError } from '../../../ports/errors.ts';
import { canonicalAddress } from '../address.ts';
import { sha256Hex } from '../sha256.ts';
import { decodeText, encodeText, parseAnswer, textOf, valueOf } from './frames.ts';
import type { Answer, Verb } from './frames.ts';
import { upstreamServers } from './upstreams.ts';
import type { UpstreamServer } from './upstreams.ts';

export interface ProxyObservation {
  name: string;
  /** Allowed file → text. */
  files: Record<string, string>;
  /** Process ids of the workers that take new connections: the version of this observation. */
  workers: string[];
  /** Whether the running workers are known to have read these very files; a reload makes it known. */
  loaded: 'yes' | 'unknown';
  /** `address:port` (`[v6]:port`) → open connections that nginx's workers have to it, old workers included. */
  connections: Record<string, number>;
  errorLogTail: string[];
  servers: UpstreamServer[];
}

export type ProxyRefusal =
  /** A file is not what it was when it was read. */
  | 'changed'
  | 'not-allowed'
  /** `nginx -t` says no. */
  | 'test'
  | 'disk'
  | 'busy'
  | 'not-running'
  /** `nginx -s reload` itself failed. */
  | 'reload'
  /** It ended 0, and the workers are still the old ones: nginx could not use the new configuration. */
  | 'workers-same'
  /** New workers came, and the error log has an emergency or alert of this reload. */
  | 'error-log'
  /** The reload took, and what users would open does not answer. */
  | 'probe'
  | 'malformed';

/** Whether what users would open answers now, or why not. */
export type Prove = (wait: Wait) => Promise<'ok' | (string & {})>;

export type ApplyOutcome = 'reloaded' | { refused: ProxyRefusal; output: string; restored: boolean };

export interface Proxy {
  readonly name: string;
  observe(wait: Wait): Promise<ProxyObservation>;
  /**
   * Replaces files (all or none), tests, reloads, and proves the reload by new workers, a clean error log and
   * `prove` (see prove.ts); else puts the seen files back and reloads again. With no files it is a proven reload of
   * what is there.
   */
  apply(
    changes: Readonly<Record<string, string>>,
    seen: ProxyObservation,
    wait: Wait,
    prove?: Prove,
  ): Promise<ApplyOutcome>;
  /** Only the workers and what they read: for waits. */
  workers(wait: Wait): Promise<Pick<ProxyObservation, 'workers' | 'loaded'>>;
  /** Only the open connections: for draining. */
  connections(wait: Wait): Promise<ProxyObservation['connections']>;
  /** `nginx -t` on the proxy as it is. */
  test(wait: Wait): Promise<{ ok: boolean; output: string }>;
}

export interface ProxyOptions {
  name: string;
  target: SshTarget;
  ssh: Ssh;
  random: Random;
}

export function nginxProxy(options: ProxyOptions): Proxy {
  const ask = async (verb: Verb, body: Uint8Array, wait: Wait): Promise<Answer> => {
    const nonce = Buffer.from(options.random.bytes(16)).toString('hex');
    const result = await options.ssh({
      target: options.target,
      command: verb,
      stdin: Buffer.concat([Buffer.from(`${nonce}\n`), body]),
      deadlineMs: wait.deadlineMs,
      signal: wait.signal,
    });
    return parseAnswer(result, nonce, verb, options.name);
  };
  const NOTHING = new Uint8Array();
  const mustAsk = async (verb: Verb, wait: Wait): Promise<Answer> => {
    const answer = await ask(verb, NOTHING, wait);
    if (!answer.refused) return answer;
    throw new CodedError(
      'NC4006',
      `${options.name}, ${verb}: ${answer.end}.`,
      textOf(answer, 'output').split('\n'),
    );
  };

  const put = async (
    changes: Readonly<Record<string, string>>,
    now: Readonly<Record<string, string>>,
    wait: Wait,
    word: 'file' | 'back' = 'file',
  ): Promise<{ refused: ProxyRefusal; output: string; restored: boolean } | undefined> => {
    const answer = await ask('put', putBody(changes, now, word), wait);
    if (!answer.refused) return undefined;
    const restored = !answer.end.endsWith('-not-restored');
    return {
      refused: answer.end.replace(/-not-restored$/, '') as ProxyRefusal,
      output: textOf(answer, 'output'),
      restored,
    };
  };

  return {
    name: options.name,

    async observe(wait) {
      const answer = await mustAsk('read', wait);
      const files = filesOf(answer);
      return {
        name: options.name,
        files,
        workers: words(valueOf(answer, 'workers')),
        loaded: valueOf(answer, 'loaded') === 'yes' ? 'yes' : 'unknown',
        connections: connectionsOf(answer),
        errorLogTail: linesOf(textOf(answer, 'log')),
        servers: upstreamServers(files),
      };
    },

    async apply(changes, seen, wait, prove) {
      const paths = Object.keys(changes);
      if (paths.length > 0) {
        const refusal = await put(changes, seen.files, wait);
        if (refusal) return refusal;
      }
      const answer = await ask('reload', NOTHING, wait);
      const failed = judgeReload(answer) ?? (await judgeProof(prove, wait));
      if (!failed) return 'reloaded';
      if (paths.length === 0) return { ...failed, restored: true };
      const before = Object.fromEntries(paths.map((path) => [path, seen.files[path] ?? '']));
      const undone = await put(before, changes, wait, 'back');
      if (undone) {
        const output = `${failed.output}\nNot restored (${undone.refused}): ${undone.output}`.trim();
        return { ...failed, output, restored: false };
      }
      const again = judgeReload(await ask('reload', NOTHING, wait));
      // The old workers never stopped serving; a second refusal is for the report, not a reason to go on.
      const output = again
        ? `${failed.output}\nReload of the restored files: ${again.output}`
        : failed.output;
      return { ...failed, output, restored: true };
    },

    async workers(wait) {
      const answer = await mustAsk('workers', wait);
      return {
        workers: words(valueOf(answer, 'workers')),
        loaded: valueOf(answer, 'loaded') === 'yes' ? 'yes' : 'unknown',
      };
    },

    connections: async (wait) => connectionsOf(await mustAsk('connections', wait)),

    async test(wait) {
      const answer = await ask('test', NOTHING, wait);
      return { ok: !answer.refused, output: textOf(answer, 'output') };
    },
  };
}

/** Open connections to an address, all its ports together. */
export function connectionsTo(observation: Pick<ProxyObservation, 'connections'>, address: string): number {
  const wanted = canonicalAddress(address);
  return Object.entries(observation.connections)
    .filter(([peer]) => canonicalAddress(peer.slice(0, peer.lastIndexOf(':'))) === wanted)
    .reduce((sum, [, count]) => sum + count, 0);
}

async function judgeProof(
  prove: Prove | undefined,
  wait: Wait,
): Promise<{ refused: 'probe'; output: string } | undefined> {
  const said = await (prove?.(wait) ?? 'ok');
  return said === 'ok' ? undefined : { refused: 'probe', output: said };
}

/** Whether a reload took effect: `nginx -t` and `-s reload` both end 0 when a listen port is in use, and nothing changes. */
export function judgeReload(answer: Answer): { refused: ProxyRefusal; output: string } | undefined {
  if (answer.refused) return { refused: answer.end as ProxyRefusal, output: textOf(answer, 'output') };
  const before = new Set(words(valueOf(answer, 'before')));
  const after = words(valueOf(answer, 'after'));
  const log = textOf(answer, 'log');
  if (after.length === 0 || after.some((pid) => before.has(pid)))
    return { refused: 'workers-same', output: log };
  const grave = linesOf(log).filter((line) => /\[(emerg|alert)\]/.test(line));
  return grave.length > 0 ? { refused: 'error-log', output: grave.join('\n') } : undefined;
}

function putBody(
  changes: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
  word: 'file' | 'back',
): Uint8Array {
  const heads: string[] = [];
  const bodies: Uint8Array[] = [];
  for (const [path, text] of Object.entries(changes)) {
    if (/[\x00-\x1f]/.test(path)) {
      throw new CodedError(
        'NC4006',
        `A path with control characters cannot be a file of the proxy: ${JSON.stringify(path)}.`,
      );
    }
    const bytes = encodeText(text);
    heads.push(
      `${word} ${sha256Hex(encodeText(now[path] ?? ''))} ${sha256Hex(bytes)} ${bytes.length} ${path}\n`,
    );
    bodies.push(bytes);
  }
  return Buffer.concat([Buffer.from(`${heads.join('')}\n`), ...bodies]);
}

function filesOf(answer: Answer): Record<string, string> {
  const files: Record<string, string> = {};
  let path: string | undefined;
  for (const { key, value } of answer.lines) {
    if (key === 'path') path = decodeText(Buffer.from(value, 'base64'));
    else if (key === 'data' && path !== undefined) files[path] = decodeText(Buffer.from(value, 'base64'));
  }
  return files;
}

function connectionsOf(answer: Answer): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { key, value } of answer.lines) {
    const [peer, count] = value.split(' ');
    if (key !== 'peer' || peer === undefined) continue;
    const name = peerName(peer);
    found[name] = (found[name] ?? 0) + Number(count);
  }
  return found;
}

/** The kernel writes `0B00007F:1F90`: words of four bytes in the machine's (little-endian) order, the port in hex. */
export function peerName(hex: string): string {
  const [host = '', port = ''] = hex.split(':');
  const bytes = (host.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((pair) => Number.parseInt(pair, 16)),
  );
  const number = Number.parseInt(port, 16);
  if (bytes.length === 4) return `${bytes.join('.')}:${number}`;
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (mapped) return `${bytes.slice(12).join('.')}:${number}`;
  const groups = Array.from({ length: 8 }, (_none, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return `[${canonicalAddress(groups.join(':'))}]:${number}`;
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(' ').filter((word) => word !== '');
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
