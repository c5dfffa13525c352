/**
 * The stand-in's reading of nginx's configuration: a small recursive reader of its own, independent of the
 * parser that the product uses, with nginx's messages for what is wrong. It knows the directives that a load
 * balancer's site needs; an unknown one is an error, as in nginx.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { isIP } from 'node:net';
import { basename, dirname, isAbsolute, join } from 'node:path';

export interface StandInServer {
  host: string;
  port: number;
  weight: number;
  down: boolean;
  backup: boolean;
  maxFails: number;
  failMs: number;
}

export interface StandInSite {
  pidFile: string;
  errorLog: string;
  accessLog: string | undefined;
  streamLog: string | undefined;
  workers: number;
  /** 0: no limit. */
  shutdownMs: number;
  http: {
    listen: { host: string; port: number }[];
    locations: { prefix: string; to: StandInServer[] | { status: number; body: string } }[];
  }[];
  stream: { listen: { host: string; port: number }[]; to: StandInServer[] }[];
}

export class Emerg extends Error {}

interface Statement {
  words: string[];
  block: Statement[] | undefined;
  at: string;
}

const KNOWN = new Set(
  `load_module user daemon worker_processes pid error_log worker_shutdown_timeout events worker_connections http
  stream include access_log client_body_temp_path proxy_temp_path fastcgi_temp_path uwsgi_temp_path scgi_temp_path
  log_format upstream server keepalive keepalive_timeout keepalive_requests listen server_name location proxy_pass
  proxy_http_version proxy_set_header proxy_next_upstream proxy_next_upstream_tries proxy_connect_timeout
  proxy_read_timeout proxy_send_timeout proxy_timeout return default_type types map least_conn ip_hash hash random
  zone set proxy_buffering client_max_body_size gzip sendfile tcp_nopush tcp_nodelay server_tokens resolver
  worker_rlimit_nofile multi_accept proxy_protocol add_header allow deny`.split(/\s+/),
);
/** Blocks whose inside is a table and not directives. */
const TABLES = new Set(['map', 'types']);

export function readSite(conf: string, prefix: string): StandInSite {
  const tree = readFile(conf, dirname(conf));
  const find = (list: Statement[] | undefined, name: string) => list?.find((s) => s.words[0] === name);
  const value = (list: Statement[] | undefined, name: string) => find(list, name)?.words[1];
  const http = find(tree, 'http')?.block;
  const stream = find(tree, 'stream')?.block;
  const at = (path: string) => (isAbsolute(path) ? path : join(prefix, path));
  const log = (list: Statement[] | undefined) => {
    const path = value(list, 'access_log');
    return path === undefined || path === 'off' ? undefined : at(path);
  };
  const count = Number(value(tree, 'worker_processes') ?? '1');
  return {
    pidFile: at(value(tree, 'pid') ?? 'nginx.pid'),
    errorLog: at(value(tree, 'error_log') ?? 'error.log'),
    accessLog: log(http),
    streamLog: log(stream),
    workers: Number.isInteger(count) ? Math.min(Math.max(count, 1), 4) : 1,
    shutdownMs: milliseconds(value(tree, 'worker_shutdown_timeout') ?? '0'),
    http: sites(http, (server, upstreams) => ({
      listen: listens(server),
      locations: (server.block ?? [])
        .filter((s) => s.words[0] === 'location')
        .map((location) => {
          const back = find(location.block, 'return');
          const pass = find(location.block, 'proxy_pass');
          if (!back && !pass)
            throw new Emerg(`the stand-in serves only proxy_pass and return in ${location.at}`);
          return {
            prefix: location.words.at(-1) ?? '/',
            to: back
              ? { status: Number(back.words[1]), body: back.words[2] ?? '' }
              : target((pass as Statement).words[1] ?? '', (pass as Statement).at, upstreams, true),
          };
        }),
    })),
    stream: sites(stream, (server, upstreams) => {
      const pass = find(server.block, 'proxy_pass');
      if (!pass) throw new Emerg(`no "proxy_pass" is defined for stream server in ${server.at}`);
      return { listen: listens(server), to: target(pass.words[1] ?? '', pass.at, upstreams, false) };
    }),
  };
}

function sites<T>(
  block: Statement[] | undefined,
  make: (server: Statement, upstreams: Map<string, StandInServer[]>) => T,
): T[] {
  const upstreams = new Map<string, StandInServer[]>();
  for (const s of block ?? []) {
    if (s.words[0] !== 'upstream') continue;
    const name = s.words[1] ?? '';
    if (upstreams.has(name)) throw new Emerg(`duplicate upstream "${name}" in ${s.at}`);
    const servers = (s.block ?? []).filter((one) => one.words[0] === 'server').map(upstreamServer);
    if (servers.length === 0) throw new Emerg(`no servers are inside upstream in ${s.at}`);
    upstreams.set(name, servers);
  }
  return (block ?? []).filter((s) => s.words[0] === 'server').map((s) => make(s, upstreams));
}

function upstreamServer(statement: Statement): StandInServer {
  const [, where = '', ...params] = statement.words;
  const server = {
    ...endpoint(where, 80, statement.at),
    weight: 1,
    down: false,
    backup: false,
    maxFails: 1,
    failMs: 10_000,
  };
  for (const param of params) {
    const [key, raw = ''] = param.split('=');
    if (key === 'weight') server.weight = Number(raw);
    else if (key === 'max_fails') server.maxFails = Number(raw);
    else if (key === 'fail_timeout') server.failMs = milliseconds(raw);
    else if (param === 'down') server.down = true;
    else if (param === 'backup') server.backup = true;
    else if (key !== 'max_conns' && key !== 'slow_start')
      throw new Emerg(`invalid parameter "${param}" in ${statement.at}`);
  }
  return server;
}

function endpoint(where: string, fallback: number, at: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(where);
  const host = match?.[1] ?? match?.[2] ?? '';
  if (isIP(host) === 0 && host !== 'localhost')
    throw new Emerg(`host not found in upstream "${where}" in ${at}`);
  const port = match?.[3] === undefined ? fallback : Number(match[3]);
  if (port < 1 || port > 65_535) throw new Emerg(`invalid port in upstream "${where}" in ${at}`);
  return { host, port };
}

function target(
  pass: string,
  at: string,
  upstreams: Map<string, StandInServer[]>,
  isHttp: boolean,
): StandInServer[] {
  const name = isHttp ? pass.replace(/^https?:\/\//, '').replace(/\/.*$/, '') : pass;
  const known = upstreams.get(name);
  if (known) return known;
  return [{ ...endpoint(name, 80, at), weight: 1, down: false, backup: false, maxFails: 0, failMs: 0 }];
}

function listens(server: Statement): { host: string; port: number }[] {
  return (server.block ?? [])
    .filter((s) => s.words[0] === 'listen')
    .map((s) => {
      const text = s.words[1] ?? '';
      return /^\d+$/.test(text) ? { host: '0.0.0.0', port: Number(text) } : endpoint(text, 80, s.at);
    });
}

function milliseconds(text: string): number {
  const match = /^(\d+)(ms|s|m|h)?$/.exec(text);
  const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match?.[2] ?? 's'] ?? 1_000;
  return Number(match?.[1] ?? 0) * unit;
}

// --- text to statements

function readFile(path: string, root: string): Statement[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new Emerg(`open() "${path}" failed (2: No such file or directory)`);
  }
  // Words, quoted strings, and the three signs; comments and blanks fall out.
  const pattern = /#[^\n]*|"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'|[{};]|(?:\\[^]|\$\{|[^\s;{\\])+/g;
  const found = [...text.matchAll(pattern)].filter((match) => !match[0].startsWith('#'));
  let position = 0;
  const where = () =>
    `${path}:${text.slice(0, found[Math.min(position, found.length - 1)]?.index ?? 0).split('\n').length}`;
  const block = (depth: number, table: boolean): Statement[] => {
    const list: Statement[] = [];
    let words: string[] = [];
    for (; position < found.length; position++) {
      const token = (found[position] as RegExpMatchArray)[0];
      if (token === ';') {
        if (words.length === 0) throw new Emerg(`unexpected ";" in ${where()}`);
        if (!table && !KNOWN.has(words[0] ?? ''))
          throw new Emerg(`unknown directive "${words[0]}" in ${where()}`);
        if (words[0] === 'include') list.push(...included(words[1] ?? '', root));
        else list.push({ words, block: undefined, at: where() });
        words = [];
      } else if (token === '{') {
        if (!KNOWN.has(words[0] ?? '')) throw new Emerg(`unknown directive "${words[0]}" in ${where()}`);
        const at = where();
        position++;
        list.push({ words, block: block(depth + 1, TABLES.has(words[0] ?? '')), at });
        words = [];
      } else if (token === '}') {
        if (words.length > 0 || depth === 0) throw new Emerg(`unexpected "}" in ${where()}`);
        return list;
      } else words.push(/^["']/.test(token) ? token.slice(1, -1) : token);
    }
    if (depth > 0 || words.length > 0)
      throw new Emerg(`unexpected end of file, expecting "${depth > 0 ? '}' : ';'}" in ${where()}`);
    return list;
  };
  return block(0, false);
}

function included(pattern: string, root: string): Statement[] {
  const path = isAbsolute(pattern) ? pattern : join(root, pattern);
  if (!/[*?]/.test(path)) return readFile(path, root);
  const shape = new RegExp(
    `^(?!\\.)${basename(path)
      .replace(/[.+^$()|[\]{}]/g, '\\$&')
      .replace(/\*/g, '.*')
      .replace(/\?/g, '.')}$`,
  );
  const names = readdirSync(dirname(path))
    .filter((name) => shape.test(name))
    .sort();
  return names.flatMap((name) => readFile(join(dirname(path), name), root));
}
