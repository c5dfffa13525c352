/**
 * The wire: everything that Node Cycle does to the outside world goes through one of these ports.
 *
 * A port carries bytes and nothing else. An adapter (the other files of this folder) holds no retry, no
 * default, no parsing and no decision, so that the same domain code runs against sockets, against the lab
 * and against a world in the same process. Each call has a deadline and can be aborted.
 */

/** What every call that waits takes with it. */
export interface Wait {
  /** Longest time this one call may take, in milliseconds. Past it the call rejects with `PortError` `timeout`. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
}

export interface TlsMaterial {
  /** PEM, one or more trusted CA certificates; the system's when absent. */
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  /** Name to verify instead of the URL's host. */
  servername?: string | undefined;
  /** SHA-256 of the server's certificate in lower-case hex, or all that may be. It replaces chain and name checks. */
  pinSha256?: string | readonly string[] | undefined;
}

export interface HttpRequest extends Wait {
  method: string;
  url: string;
  headers?: Record<string, string> | undefined;
  body?: string | Uint8Array | undefined;
  tls?: TlsMaterial | undefined;
  /** `host:port` to open the socket to instead of the URL's own; the URL still names Host and SNI. */
  connectTo?: string | undefined;
}

export interface HttpResponse {
  status: number;
  headers: Record<string, string>;
  /** The body as it arrives. Must be read to its end or closed (`return()`). */
  body: AsyncIterable<Uint8Array>;
}

export type Http = (request: HttpRequest) => Promise<HttpResponse>;

export interface RunRequest extends Wait {
  file: string;
  args: readonly string[];
  stdin?: string | Uint8Array | undefined;
  /** The child's whole environment: nothing is inherited. */
  env: Record<string, string>;
  cwd?: string | undefined;
  /** Called for each complete line, without its end. */
  onLine?: ((line: string, stream: 'stdout' | 'stderr') => void) | undefined;
  /** Bytes of stdout and of stderr that are kept in the result; the rest is read and dropped. Default 4 MiB. */
  keepBytes?: number | undefined;
  /** End the child when this process dies, SIGKILL included (where the platform can). */
  dieWithParent?: boolean | undefined;
}

export interface RunResult {
  /** null when a signal ended it. */
  exitCode: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

export type Run = (request: RunRequest) => Promise<RunResult>;

export interface SshTarget {
  host: string;
  port: number;
  user: string;
  /** Private key in PEM or OpenSSH form. */
  privateKey: string;
  /** Accepted host keys, each `type base64` as in known_hosts. Anything else is refused. */
  hostKeys: readonly string[];
}

export interface SshRequest extends Wait {
  target: SshTarget;
  /** The command that is sent; for the proxy this is one of its verbs. Never built from foreign text. */
  command: string;
  stdin?: string | Uint8Array | undefined;
}

export interface SshResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export type Ssh = (request: SshRequest) => Promise<SshResult>;

export interface DnsRecord {
  name: string;
  type: string;
  /** Seconds. */
  ttl: number;
  /** Presentation form: an address, or a name without its final dot. For SOA: the serial. */
  data: string;
}

export interface DnsQuery extends Wait {
  /** `address:port` of the server that is asked. Recursion is never requested. */
  server: string;
  name: string;
  type: 'A' | 'AAAA' | 'CNAME' | 'SOA' | 'NS';
}

export interface DnsAnswer {
  /** NOERROR, NXDOMAIN, REFUSED … */
  rcode: string;
  authoritative: boolean;
  answers: DnsRecord[];
}

export type DnsAsk = (query: DnsQuery) => Promise<DnsAnswer>;

export interface ConnectRequest extends Wait {
  host: string;
  port: number;
  /** A TLS handshake on it, with this name as SNI; the certificate must be valid for it. */
  servername?: string | undefined;
}

/** Opens a TCP connection (and TLS on it), waits for its first line when that is wanted, and closes it. */
export type Connect = (request: ConnectRequest & { banner?: boolean }) => Promise<{ banner: string }>;

export interface Files {
  read(path: string): Promise<Uint8Array>;
  /** Written whole or not at all: temporary file in the same folder, fsync, rename. */
  write(path: string, data: string | Uint8Array, mode?: number): Promise<void>;
  /** Fails with `PortError` `exists` when the file is there. */
  create(path: string, data: string | Uint8Array, mode?: number): Promise<void>;
  list(dir: string): Promise<string[]>;
  stat(path: string): Promise<{ size: number; mode: number; mtimeMs: number } | undefined>;
  makeDir(path: string, mode?: number): Promise<void>;
  remove(path: string): Promise<void>;
}

export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** `n` unpredictable bytes. */
  bytes(n: number): Uint8Array;
}

/** One branch of one git repository; a commit is its 40 hex digits. */
export interface Repo {
  /** Fetches, and gives the commit at the branch's tip. */
  tip(wait: Wait): Promise<string>;
  /** A file's text at a commit, undefined when it is not there. */
  read(commit: string, path: string, wait: Wait): Promise<string | undefined>;
  list(commit: string, dir: string, wait: Wait): Promise<string[]>;
  /** Every version of a file in the last `count` commits, newest first. */
  history(commit: string, path: string, count: number, wait: Wait): Promise<string[]>;
  /** Makes a commit on `base` with these files changed; nothing is pushed. */
  commit(base: string, files: Record<string, string>, message: string, wait: Wait): Promise<string>;
  /** Pushes `commit` to the branch only when its tip is still `expected`. */
  push(commit: string, expected: string, wait: Wait): Promise<'pushed' | 'moved' | { refused: string }>;
  isAncestor(ancestor: string, descendant: string, wait: Wait): Promise<boolean>;
}

export interface Ports {
  http: Http;
  run: Run;
  ssh: Ssh;
  dns: DnsAsk;
  connect: Connect;
  files: Files;
  clock: Clock;
  random: Random;
}

export type PortFailure =
  | 'timeout'
  | 'aborted'
  | 'refused'
  | 'unreachable'
  | 'closed'
  | 'tls'
  | 'hostkey'
  | 'auth'
  | 'notfound'
  | 'exists'
  | 'denied'
  | 'protocol';

/** Every port rejects with this and nothing else. `sent` tells whether the far side may have seen the request. */
export class PortError extends Error {
  constructor(
    readonly kind: PortFailure,
    readonly port: 'http' | 'run' | 'ssh' | 'dns' | 'connect' | 'files' | 'repo' | 'clock',
    message: string,
    readonly sent = false,
  ) {
    super(message);
    this.name = 'PortError';
  }
}
