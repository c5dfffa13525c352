/**
 * Looks at the edges the whole time, as somebody outside of the product: what the DNS servers answer, what the
 * proxy's files say, and whether anybody is behind it.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { upstreamServers } from '../cycle/edge/nginx/upstreams.ts';
import { broken } from './invariants.ts';
import { recordsOf } from './left-overs.ts';
import type { Lab } from './start.ts';

export interface Watch {
  /** Ends the watch; what was seen broken, each once. */
  stop(): Promise<string[]>;
}

/** One place that clients are sent to: its members, and where each must answer. */
export interface Path {
  name: string;
  kind: 'alias' | 'upstream';
  members: { host: string; port: number }[];
}

const WATCH_MS = 250;
const CONNECT_MS = 1_000;

/** `full`: no path may have fewer members than at its start, which a dead node's leaving makes impossible. */
export function watchEdges(lab: Lab, full: boolean): Watch {
  const found = new Map<string, string>();
  const ended = new AbortController();
  const first = new Map<string, number>();
  const proven = new Set<string>();
  const look = async () => {
    const paths = [...(await aliasPaths(lab)), ...upstreamPaths(lab)];
    for (const path of paths) if (!first.has(path.name)) first.set(path.name, path.members.length);
    const unproven = await silent(paths);
    // What had nobody behind it from the start (an alias of a dead node) is not the cycle's doing until it has.
    const lost = unproven.filter(({ name }) => proven.has(name));
    for (const { name } of paths) if (!unproven.some((path) => path.name === name)) proven.add(name);
    for (const one of [...judgePaths(paths, first, full), ...lost.map(unprovenFinding)])
      if (!found.has(one.key)) found.set(one.key, one.text);
  };
  const watch = (async () => {
    while (!ended.signal.aborted) {
      await look();
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
  })();
  return {
    async stop() {
      ended.abort();
      await watch;
      return [...found.values()];
    },
  };
}

/** Pods behind a Service whose containers were killed, or lost with their machine, instead of having ended. */
export function watchPods({ world }: Pick<Lab, 'world'>): { stop(): string[] } {
  const { store, processes } = world.kube;
  const found: string[] = [];
  let ended = false;
  processes.on(({ kind, process, how }) => {
    if (ended || kind !== 'stopped' || how === 'exit') return;
    const service = store
      .list('services', process.namespace)
      .find(({ spec }) => selects(spec.selector, process.labels));
    if (service === undefined) return;
    const evidence = `${process.name} of ${service.metadata.name} on ${process.nodeName}`;
    found.push(broken('podCutOff', evidence));
  });
  return {
    stop() {
      ended = true;
      return found;
    },
  };
}

function selects(selector: Record<string, string> | undefined, labels: Record<string, string>): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

interface Finding {
  key: string;
  text: string;
}

/** What the members alone say; `first`: how many each path had at the start. */
export function judgePaths(
  paths: readonly Path[],
  first: ReadonlyMap<string, number>,
  full: boolean,
): Finding[] {
  return paths.flatMap((path) => {
    const { name, members } = path;
    const before = first.get(name) ?? 0;
    if (members.length === 0 && path.kind === 'alias')
      return [{ key: `empty ${name}`, text: broken('aliasNeverEmpty', name) }];
    if (full && members.length < before) {
      const evidence = `${name} had ${members.length} of ${before}`;
      return [{ key: `less ${name}`, text: broken('successorBeforeLeaving', evidence) }];
    }
    return [];
  });
}

/** The paths of which no member takes a connection. An empty one has its own name, and is not among them. */
async function silent(paths: readonly Path[]): Promise<Path[]> {
  const asked = new Map<string, Promise<boolean>>();
  const answers = (host: string, port: number) => {
    const key = `${host}:${String(port)}`;
    const known = asked.get(key) ?? canConnect(host, port);
    asked.set(key, known);
    return known;
  };
  const found = await Promise.all(
    paths.map(async (path) => {
      for (const { host, port } of path.members) if (await answers(host, port)) return [];
      return path.members.length === 0 ? [] : [path];
    }),
  );
  return found.flat();
}

function unprovenFinding({ name, members }: Path): Finding {
  const evidence = `nobody answered behind ${name} (${members.map(({ host }) => host).join(', ')})`;
  return { key: `unproven ${name}`, text: broken('provenBackend', evidence) };
}

/** Answers of the primary; one that could not be asked says nothing. */
async function aliasPaths(lab: Lab): Promise<Path[]> {
  const { dns, example } = lab;
  const ask = (name: string, type: 'A' | 'CNAME') =>
    recordsOf(dns.servers[0] ?? '', `${name}.${example.zone}`, type).catch(() => undefined);
  const { api, ingressHttp } = example.ports;
  const paths = await Promise.all(
    [
      { alias: `cp-${example.cluster}`, port: api, role: 'controlplane' },
      { alias: `tfx-${example.cluster}`, port: ingressHttp, role: 'worker' },
    ].map(async ({ alias, port }): Promise<Path[]> => {
      const records = await ask(alias, 'A');
      if (records === undefined) return [];
      return [{ name: alias, kind: 'alias', members: records.map(({ data }) => ({ host: data, port })) }];
    }),
  );
  const target = await ask('dash', 'CNAME');
  if (target === undefined) return paths.flat();
  const addresses = await Promise.all(
    target.map(({ data }) => ask(data.replace(`.${example.zone}`, '').replace(/\.$/, ''), 'A')),
  );
  const members = addresses.flatMap((records) =>
    (records ?? []).map(({ data }) => ({ host: data, port: ingressHttp })),
  );
  return [
    ...paths.flat(),
    ...(addresses.includes(undefined) ? [] : [{ name: 'dash', kind: 'alias' as const, members }]),
  ];
}

/** The upstreams that name a node; others are somebody else's. */
function upstreamPaths(lab: Lab): Path[] {
  const { proxy, example } = lab;
  const files = Object.fromEntries(proxy.nginx.files.map((file) => [file, readFileSync(file, 'utf8')]));
  const paths = new Map<string, Path>();
  for (const server of upstreamServers(files)) {
    if (!server.address.startsWith(`${example.base}.`)) continue;
    const name = `upstream ${server.upstream}`;
    const path: Path = paths.get(name) ?? { name, kind: 'upstream', members: [] };
    paths.set(name, path);
    if (!server.down) path.members.push({ host: server.address, port: server.port ?? 80 });
  }
  return [...paths.values()];
}

function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_MS, () => settle(false));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
