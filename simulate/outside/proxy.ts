/** nginx and the account's fixed script (cycle/edge/nginx/node-cycle-proxy.sh) as a model: the six verbs over memory. */
import { createHash } from 'node:crypto';
import type { WorldClock } from '../../lab/world/world.ts';
import type { SshResult } from '../../ports/ports.ts';

export interface ProxyModel {
  /** Allowed file → text, as on the disk. */
  readonly files: Map<string, string>;
  /** The files that the running workers have read. */
  loaded(): ReadonlyMap<string, string>;
  /** One call of the forced command. */
  call(verb: string, stdin: Uint8Array): SshResult;
  /** Backends of the upstream in what is loaded, those that are `down` left out. */
  serving(upstream: string): { host: string; port: number }[];
}

/** A connection that was open at a reload stays with the old workers for so long. */
const LINGER_MS = 2_000;

export function proxyModel(clock: WorldClock, files: Readonly<Record<string, string>>): ProxyModel {
  const now = new Map(Object.entries(files));
  let loaded = new Map(now);
  let noted = digest(now);
  let pid = 100;
  let workers = [String(pid), String(pid + 1)];
  let lingering: { peer: string; untilMs: number }[] = [];

  const connections = (): Map<string, number> => {
    lingering = lingering.filter(({ untilMs }) => untilMs > clock.nowMs());
    const counts = new Map<string, number>();
    const add = (peer: string) => counts.set(peer, (counts.get(peer) ?? 0) + 1);
    for (const peer of peersOf(loaded)) add(peer);
    for (const { peer } of lingering) add(peer);
    return counts;
  };

  const answerTo = (verb: string, rest: Buffer): { lines: string[]; refused?: string; output?: string } => {
    const workerLines = () => [
      'master 99',
      `workers ${workers.join(' ')} `,
      `loaded ${noted === digest(now) ? 'yes' : 'unknown'}`,
    ];
    const peerLines = () => [...connections()].map(([peer, count]) => `peer ${hexPeer(peer)} ${count}`);
    switch (verb) {
      case 'read':
        return {
          lines: [
            ...workerLines(),
            ...peerLines(),
            ...[...now].flatMap(([path, text]) => [`path ${base64(path)}`, `data ${base64(text)}`]),
            'log ',
          ],
        };
      case 'workers':
        return { lines: workerLines() };
      case 'connections':
        return { lines: peerLines() };
      case 'test': {
        const fault = whyNot(now);
        return fault === undefined
          ? { lines: [`output ${base64('test is successful')}`] }
          : { lines: [], refused: 'test', output: fault };
      }
      case 'put':
        return put(rest);
      case 'reload': {
        const before = workers;
        const peers = peersOf(loaded);
        if (whyNot(now) !== undefined) return { lines: [], refused: 'reload', output: whyNot(now) ?? '' };
        lingering.push(...peers.map((peer) => ({ peer, untilMs: clock.nowMs() + LINGER_MS })));
        loaded = new Map(now);
        noted = digest(now);
        pid += 2;
        workers = [String(pid), String(pid + 1)];
        return { lines: [`before ${before.join(' ')} `, `after ${workers.join(' ')} `, 'log '] };
      }
      default:
        return { lines: [], refused: 'unknown-verb' };
    }
  };

  function put(bytes: Buffer): { lines: string[]; refused?: string; output?: string } {
    const refused = (why: string, output: string) => ({ lines: [], refused: why, output });
    const gap = bytes.indexOf('\n\n');
    const heads = bytes.subarray(0, gap).toString('utf8').split('\n');
    let offset = gap + 2;
    const next = new Map(now);
    const back = heads.every((head) => head.startsWith('back '));
    for (const head of heads) {
      const [word, is, then, size, ...path] = head.split(' ');
      const name = path.join(' ');
      const current = now.get(name);
      if (word !== 'file' && word !== 'back') return refused('malformed', 'unknown header');
      if (current === undefined) return refused('not-allowed', name);
      if (sha256(current) !== is) return refused('changed', `${name} was changed by someone else`);
      const text = bytes.subarray(offset, offset + Number(size)).toString('utf8');
      offset += Number(size);
      if (sha256(text) !== then) return refused('malformed', `${name} did not arrive whole`);
      next.set(name, text);
    }
    const fault = whyNot(next);
    if (fault !== undefined && !back) return refused('test', fault);
    for (const [name, text] of next) now.set(name, text);
    return { lines: [`output ${base64('test is successful')}`] };
  }

  return {
    files: now,
    loaded: () => loaded,
    call(verb, stdin) {
      const bytes = Buffer.from(stdin);
      const end = bytes.indexOf(10);
      const nonce = bytes.subarray(0, end).toString('latin1');
      if (!/^[0-9a-f]{32}$/.test(nonce)) return { exitCode: 64, stdout: '', stderr: '' };
      const { lines, refused, output } = answerTo(verb, bytes.subarray(end + 1));
      const all = [
        `begin 1 ${verb}`,
        ...lines,
        ...(output === undefined ? [] : [`output ${base64(output)}`]),
        `end ${refused === undefined ? 'ok' : `refused ${refused}`}`,
      ];
      const stdout = `\n${all.map((line) => `${nonce} ${line}\n`).join('')}`;
      return { exitCode: refused === undefined ? 0 : 10, stdout, stderr: '' };
    },
    serving: (upstream) =>
      upstreamsOf(loaded)
        .get(upstream)
        ?.filter(({ down }) => !down) ?? [],
  };
}

/** By name, over all files. A reader of its own: what the product parses with must not judge itself. */
export function upstreamsOf(
  files: ReadonlyMap<string, string>,
): Map<string, { host: string; port: number; down: boolean }[]> {
  const found = new Map<string, { host: string; port: number; down: boolean }[]>();
  for (const text of files.values()) {
    const plain = text.replace(/#[^\n]*/g, '');
    for (const [, name = '', inner = ''] of plain.matchAll(/upstream\s+(\S+)\s*\{([^}]*)\}/g)) {
      const servers = [...inner.matchAll(/server\s+([\d.]+):(\d+)([^;]*);/g)];
      found.set(
        name,
        servers.map(([, host = '', port, rest = '']) => ({
          host,
          port: Number(port),
          down: /\bdown\b/.test(rest),
        })),
      );
    }
  }
  return found;
}

/** nginx's own words for what it would not load. */
function whyNot(files: ReadonlyMap<string, string>): string | undefined {
  for (const [path, text] of files) {
    const plain = text.replace(/#[^\n]*/g, '');
    const open = plain.split('{').length - plain.split('}').length;
    if (open !== 0) return `nginx: [emerg] unexpected end of file in ${path}`;
  }
  for (const [name, servers] of upstreamsOf(files))
    if (servers.length === 0) return `nginx: [emerg] no servers are inside upstream "${name}"`;
  return undefined;
}

function peersOf(files: ReadonlyMap<string, string>): string[] {
  return [...upstreamsOf(files).values()].flatMap((servers) =>
    servers.filter(({ down }) => !down).map(({ host, port }) => `${host}:${port}`),
  );
}

/** As in /proc/net/tcp: the address in the machine's byte order. */
function hexPeer(peer: string): string {
  const [host = '', port = '0'] = peer.split(':');
  const hex = (value: number, width: number) => value.toString(16).toUpperCase().padStart(width, '0');
  const bytes = host.split('.').reverse();
  return `${bytes.map((part) => hex(Number(part), 2)).join('')}:${hex(Number(port), 4)}`;
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const digest = (files: ReadonlyMap<string, string>): string => sha256(JSON.stringify([...files]));
