/**
 * The rke program of the lab, as an executable: reads what the real one would read (configuration, state, keys, the
 * ssh-agent), hands it to the world over the control socket, prints what comes back and writes the files. Its rules
 * are in lab/world/rke. Bundled to dist/lab/rke.cjs; `rkeWrapper` is the small script that Node Cycle starts.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { rke } from '../world/rke/rke.ts';
import type { RkeEvent, RkeFile, RkeRequest, RkeSurroundings } from '../world/rke/rke.ts';
import { filesToRead } from '../world/rke/request.ts';
import type { RkeHandler } from './control.ts';

/** The side of the control server: one run, its events as they come. */
export function rkeHandler(around: RkeSurroundings): RkeHandler {
  return async (request, write, signal) => {
    for await (const event of rke(request as RkeRequest, around, signal)) write(event);
  };
}

/** A script at `path` that starts `script` (dist/lab/rke.cjs) with the control server's address. */
export function rkeWrapper(path: string, node: string, script: string, controlUrl: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  writeFileSync(path, `#!/bin/sh\nexec ${quote(node)} ${quote(script)} ${quote(controlUrl)} "$@"\n`);
  chmodSync(path, 0o755);
}

/** The whole program. `argv` is what follows the control server's address. */
export async function main(controlUrl: string, argv: readonly string[]): Promise<number> {
  const cwd = process.cwd();
  const home = process.env['HOME'] ?? '/root';
  const files: Record<string, RkeFile> = {};
  const bring = (paths: string[]) => {
    for (const path of paths) files[path] = look(path);
  };
  const [config = '', ...others] = filesToRead(argv, cwd, home);
  bring([config, ...others]);
  const text = files[config]?.kind === 'file' ? files[config].text : '';
  bring(filesToRead(argv, cwd, home, text));
  const socket = process.env['SSH_AUTH_SOCK'];
  const request: RkeRequest = {
    argv,
    cwd,
    home,
    tty: process.stdout.isTTY,
    files,
    agentKeys: socket === undefined || socket === '' ? undefined : await agentKeys(socket),
  };
  return converse(controlUrl, request);
}

function look(path: string): RkeFile {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return { kind: 'directory' };
    return { kind: 'file', text: readFileSync(path, 'utf8'), mode: stat.mode & 0o777 };
  } catch {
    return { kind: 'missing' };
  }
}

function converse(controlUrl: string, request: RkeRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(`${controlUrl}/rke`, { method: 'POST', agent: false }, (response) => {
      let rest = '';
      let code: number | undefined;
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        const lines = (rest + part).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) code = act(JSON.parse(line) as RkeEvent) ?? code;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (code === undefined) reject(new Error(`the lab ended the run without an exit: ${rest}`));
        else resolve(code);
      });
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(request));
  });
}

/** Plain overwrites, as rke's: an existing file keeps its mode. */
function act(event: RkeEvent): number | undefined {
  switch (event.kind) {
    case 'line':
      (event.stream === 'stdout' ? process.stdout : process.stderr).write(`${event.line}\n`);
      return undefined;
    case 'text':
      process.stdout.write(event.text);
      return undefined;
    case 'write':
      writeFileSync(event.path, event.text, { mode: event.mode });
      return undefined;
    case 'move':
      renameSync(event.from, event.to);
      return undefined;
    case 'remove':
      rmSync(event.path, { force: true });
      return undefined;
    case 'exit':
      return event.code;
  }
}

const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;

/** The public keys of an ssh-agent (draft-miller-ssh-agent); none when it does not answer. */
export function agentKeys(socketPath: string): Promise<string[]> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let got = Buffer.alloc(0);
    const finish = (keys: string[]) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(keys);
    };
    const timer = setTimeout(() => {
      finish([]);
    }, 2_000);
    socket.on('error', () => {
      finish([]);
    });
    socket.on('connect', () => {
      socket.write(Buffer.from([0, 0, 0, 1, REQUEST_IDENTITIES]));
    });
    socket.on('data', (part) => {
      got = Buffer.concat([got, part]);
      if (got.length < 4 || got.length < 4 + got.readUInt32BE(0)) return;
      finish(got[4] === IDENTITIES_ANSWER ? identities(got.subarray(5)) : []);
    });
  });
}

function identities(bytes: Buffer): string[] {
  const keys: string[] = [];
  let at = 4;
  const take = () => {
    const length = bytes.readUInt32BE(at);
    const value = bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
    return value;
  };
  for (let n = bytes.readUInt32BE(0); n > 0; n--) {
    const blob = take();
    take();
    const type = blob.subarray(4, 4 + blob.readUInt32BE(0)).toString('ascii');
    keys.push(`${type} ${blob.toString('base64')}`);
  }
  return keys;
}
