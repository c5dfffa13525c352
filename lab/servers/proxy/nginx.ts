/**
 * The lab's external load balancer: the real nginx when it is installed with its stream module, else a
 * stand-in that keeps nginx's traps. Both are a program with nginx's options, a master, workers and a pid file.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { findProgram, startChild, untilReady, versionOf } from './child.ts';

export interface NginxOptions {
  /** A folder of its own, made when missing. */
  dir: string;
  /** File name → text, included into the `http` block. */
  http: Record<string, string>;
  /** File name → text, included into the `stream` block. */
  stream: Record<string, string>;
  workerProcesses?: number;
  /** How long old workers may live after a reload; nginx's default is without end. */
  workerShutdownSeconds?: number;
  /** Default: the real one when it is there. */
  use?: 'real' | 'stand-in';
}

export interface RunningNginx {
  kind: 'real' | 'stand-in';
  version: string;
  /** The program: `-t`, `-s reload`. */
  binary: string;
  prefix: string;
  conf: string;
  pidFile: string;
  errorLog: string;
  /** Absolute paths of the included files. */
  files: string[];
  /** Requests and stream connections that it has served. */
  calls(): number;
  stop(): Promise<void>;
}

const STREAM_MODULES = [
  '/usr/lib/nginx/modules/ngx_stream_module.so',
  '/usr/lib64/nginx/modules/ngx_stream_module.so',
];

export function realNginx(): { binary: string; streamModule: string | undefined } | undefined {
  const binary = findProgram('nginx');
  if (binary === undefined) return undefined;
  const streamModule = STREAM_MODULES.find((path) => existsSync(path));
  const builtIn = versionOf(binary, ['-V'], /--with-stream(=dynamic)?(?=\s|$)/) !== 'unknown';
  return streamModule !== undefined || builtIn ? { binary, streamModule } : undefined;
}

export async function startNginx(options: NginxOptions): Promise<RunningNginx> {
  const real = options.use === 'stand-in' ? undefined : realNginx();
  if (options.use === 'real' && !real) throw new Error('nginx with its stream module is not installed');
  const { dir } = options;
  for (const folder of ['conf.d', 'stream.d', 'tmp']) mkdirSync(join(dir, folder), { recursive: true });
  const files: string[] = [];
  for (const [folder, texts] of [
    ['conf.d', options.http],
    ['stream.d', options.stream],
  ] as const) {
    for (const [name, text] of Object.entries(texts)) {
      const path = join(dir, folder, name);
      writeFileSync(path, text);
      files.push(path);
    }
  }
  const [conf, pidFile, errorLog] = [join(dir, 'nginx.conf'), join(dir, 'nginx.pid'), join(dir, 'error.log')];
  writeFileSync(conf, mainConf(options, real?.streamModule));
  writeFileSync(errorLog, '');
  const binary = real?.binary ?? buildStandIn(dir);
  const child = startChild(binary, ['-p', dir, '-c', conf]);
  await untilReady(child, 'nginx', () =>
    Promise.resolve(existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== ''),
  );
  return {
    kind: real ? 'real' : 'stand-in',
    version: real ? versionOf(binary, ['-v'], /nginx\/(\S+)/) : 'stand-in',
    binary,
    prefix: dir,
    conf,
    pidFile,
    errorLog,
    files,
    calls: () => ['access.log', 'stream.log'].reduce((sum, name) => sum + lineCount(join(dir, name)), 0),
    stop: () => child.stop(),
  };
}

function mainConf(options: NginxOptions, streamModule: string | undefined): string {
  const { dir } = options;
  const asRoot = process.getuid?.() === 0;
  return `${streamModule ? `load_module ${streamModule};\n` : ''}${asRoot ? 'user root;\n' : ''}daemon off;
worker_processes ${options.workerProcesses ?? 1};
pid ${dir}/nginx.pid;
error_log ${dir}/error.log notice;
worker_shutdown_timeout ${options.workerShutdownSeconds ?? 30}s;
events { worker_connections 2048; }
http {
    access_log ${dir}/access.log;
    client_body_temp_path ${dir}/tmp/body;
    proxy_temp_path ${dir}/tmp/proxy;
    fastcgi_temp_path ${dir}/tmp/fastcgi;
    uwsgi_temp_path ${dir}/tmp/uwsgi;
    scgi_temp_path ${dir}/tmp/scgi;
    include ${dir}/conf.d/*.conf;
}
stream {
    log_format basic '$remote_addr $status $upstream_addr';
    access_log ${dir}/stream.log basic;
    include ${dir}/stream.d/*.conf;
}
`;
}

/** One CommonJS file, so that each call of the program starts in the time of a plain node. */
function buildStandIn(dir: string): string {
  const bundle = join(dir, 'nginx-stand-in.cjs');
  buildSync({
    entryPoints: [fileURLToPath(new URL('./standin/main.ts', import.meta.url))],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  });
  const program = join(dir, 'nginx');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${bundle}' "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}

function lineCount(path: string): number {
  if (!existsSync(path)) return 0;
  let count = 0;
  for (const byte of readFileSync(path)) if (byte === 10) count++;
  return count;
}
