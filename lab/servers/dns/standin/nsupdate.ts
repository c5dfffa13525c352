/**
 * The stand-in `nsupdate`: reads the same commands on stdin, takes `-k` and `-t`, and ends as the real one
 * does: 0, 1 for syntax, 2 for every refusal, with the server's code on stderr.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { macOf } from './update.ts';
import type { UpdateBody, UpdateMessage } from './update.ts';

const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};

const fail = (code: number, text: string): never => {
  process.stderr.write(`${text}\n`);
  process.exit(code);
};

let host = '127.0.0.1';
let port = 53;
let body: UpdateBody = { zone: '', prereqs: [], updates: [] };
const key = readKey();

void main().then((code) => process.exit(code));

async function main(): Promise<number> {
  let failed = false;
  for (const line of readFileSync(0, 'utf8').split('\n')) {
    const words = line.trim().split(/\s+/);
    const [command = '', kind = '', ...rest] = words;
    if (command === '' || command.startsWith(';')) continue;
    if (command === 'server') {
      host = kind;
      port = Number(rest[0] ?? '53');
    } else if (command === 'zone') {
      body.zone = kind;
    } else if (command === 'prereq' && ['yxrrset', 'nxrrset', 'yxdomain', 'nxdomain'].includes(kind)) {
      const [name = '', type, ...data] = rest;
      body.prereqs.push({
        kind: kind as 'yxrrset',
        name,
        ...(type ? { type: type.toUpperCase() } : {}),
        ...(data.length > 0 ? { data: data.join(' ') } : {}),
      });
    } else if (command === 'update' && (kind === 'delete' || kind === 'add')) {
      const name = rest.shift() ?? '';
      const ttl = /^\d+$/.test(rest[0] ?? '') ? Number(rest.shift()) : undefined;
      if (rest[0] === 'IN') rest.shift();
      const [type, ...data] = rest;
      if (kind === 'add' && (ttl === undefined || type === undefined || data.length === 0)) {
        fail(1, `could not read rdata\nsyntax error`);
      }
      body.updates.push({
        kind,
        name,
        ...(ttl === undefined ? {} : { ttl }),
        ...(type ? { type: type.toUpperCase() } : {}),
        ...(data.length > 0 ? { data: data.join(' ') } : {}),
      });
    } else if (command === 'send') {
      const answer = await send();
      if (answer !== 'NOERROR') {
        if (answer.startsWith('NOTAUTH('))
          process.stderr.write('; TSIG error with server: tsig indicates error\n');
        process.stderr.write(`update failed: ${answer}\n`);
        failed = true;
      }
      body = { zone: body.zone, prereqs: [], updates: [] };
    } else {
      fail(1, `incorrect section name: ${command}\nsyntax error`);
    }
  }
  return failed ? 2 : 0;
}

function readKey(): { name: string; algorithm: string; secret: string } | undefined {
  const path = option('-k');
  if (path === undefined) return undefined;
  const text = readFileSync(path, 'utf8');
  const match = /key\s+"?([^\s"]+)"?\s*\{[^}]*algorithm\s+"?([^\s";]+)"?;[^}]*secret\s+"([^"]+)"/.exec(text);
  if (!match?.[1] || !match[2] || !match[3])
    return fail(1, `could not read key from ${path}: file not found`);
  return { name: match[1], algorithm: match[2], secret: match[3] };
}

function send(): Promise<string> {
  const text = JSON.stringify(body);
  const message: UpdateMessage = {
    body: text,
    ...(key ? { keyName: key.name, mac: macOf(text, key.secret, key.algorithm) } : {}),
  };
  const bytes = Buffer.from(JSON.stringify(message));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect({ host, port }, () => socket.write(Buffer.concat([length, bytes])));
    socket.setTimeout(Number(option('-t') ?? '300') * 1_000, () =>
      fail(2, '; Communication with server failed: timed out'),
    );
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.on('end', () => resolve(answer));
    socket.on('error', () => fail(2, `; Communication with ${host}#${port} failed: connection refused`));
  });
}
