/**
 * The proxy's SSH: the real sshd with a host key of its own and one forced command, else a stand-in on ssh2's
 * server that runs the same command in the same way. Works for root and for a plain user.
 */
import { makeSshKeyPair } from '../../ssh-key.ts';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { Connection, ParsedKey } from 'ssh2';
import { PortError } from '../../../ports/ports.ts';
import { ssh } from '../../../ports/ssh.ts';
import { findProgram, freePort, startChild, untilReady, versionOf } from './child.ts';

export interface SshdOptions {
  dir: string;
  address: string;
  /** 0: any free one. */
  port: number;
  /** Public key `type base64` of the account. */
  authorizedKey: string;
  /** Program and arguments of the forced command. None of them is foreign text. */
  command: readonly string[];
  /** Shown before anyone logs in, for tests of what a banner may do. */
  banner?: string;
  use?: 'real' | 'stand-in';
}

export interface RunningSshd {
  kind: 'real' | 'stand-in';
  version: string;
  address: string;
  port: number;
  user: string;
  /** `type base64` as in known_hosts. */
  hostKey: string;
  /** Sessions that were let in. */
  calls(): number;
  stop(): Promise<void>;
}

/** A new key pair in OpenSSH's form. */
export function makeSshKey(): { privateKey: string; publicKey: string } {
  const pair = makeSshKeyPair();
  return { privateKey: pair.private, publicKey: pair.public };
}

export async function startSshd(options: SshdOptions): Promise<RunningSshd> {
  const sshd = options.use === 'stand-in' ? undefined : findProgram('sshd');
  if (options.use === 'real' && !sshd) throw new Error('sshd is not installed');
  mkdirSync(options.dir, { recursive: true, mode: 0o755 });
  const host = makeSshKey();
  const port = options.port === 0 ? await freePort(options.address) : options.port;
  const common = { address: options.address, port, user: userInfo().username, hostKey: host.publicKey };
  if (!sshd) return standIn(options, host, common);
  const started = await real(sshd, options, host, common);
  if (started) return started;
  if (options.use === 'real') throw new Error(`sshd lets no one in as ${common.user}`);
  return standIn(options, host, common);
}

type Common = Pick<RunningSshd, 'address' | 'port' | 'user' | 'hostKey'>;

/** Undefined when it starts and lets nobody in: sshd refuses an account that is locked, as a plain user's may be. */
async function real(
  sshd: string,
  options: SshdOptions,
  host: { privateKey: string },
  common: Common,
): Promise<RunningSshd | undefined> {
  const at = (name: string) => join(options.dir, name);
  writeFileSync(at('host_key'), host.privateKey, { mode: 0o600 });
  const probe = makeSshKey();
  writeFileSync(at('authorized_keys'), `restrict ${probe.publicKey}\n`);
  writeFileSync(at('banner'), options.banner ?? '');
  writeFileSync(
    at('forced.sh'),
    `#!/bin/sh\nexec ${options.command.map((word) => `'${word.replace(/'/g, `'\\''`)}'`).join(' ')}\n`,
  );
  chmodSync(at('forced.sh'), 0o755);
  writeFileSync(
    at('sshd_config'),
    `Port ${common.port}
ListenAddress ${options.address}
HostKey ${at('host_key')}
PidFile ${at('sshd.pid')}
AuthorizedKeysFile ${at('authorized_keys')}
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
AllowTcpForwarding no
X11Forwarding no
PermitTTY no
PrintMotd no
ForceCommand ${at('forced.sh')}
# Bash takes a session of sshd with a lower one for a login, and runs the account's .bashrc.
SetEnv SHLVL=2
LogLevel INFO
MaxStartups 100:30:200
MaxSessions 100
${options.banner === undefined ? '' : `Banner ${at('banner')}\n`}`,
  );
  // As root, sshd insists on its privilege separation folder.
  if (process.getuid?.() === 0 && !existsSync('/run/sshd'))
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const log = at('sshd.log');
  const child = startChild(sshd, ['-D', '-f', at('sshd_config'), '-E', log]);
  await untilReady(child, 'sshd', () => answers(options.address, common.port));
  const target = { host: common.address, port: common.port, user: common.user, hostKeys: [common.hostKey] };
  const login = { target: { ...target, privateKey: probe.privateKey }, command: 'none', deadlineMs: 5_000 };
  const letIn = await ssh(login).then(
    () => true,
    (error: unknown) => !(error instanceof PortError && error.kind === 'auth'),
  );
  if (!letIn) {
    await child.stop();
    return undefined;
  }
  writeFileSync(at('authorized_keys'), `restrict ${options.authorizedKey}\n`);
  return {
    kind: 'real',
    version: versionOf(sshd, ['-V'], /OpenSSH_([^\s,]+)/),
    ...common,
    // The probe's own login is none of the caller's.
    calls: () => (existsSync(log) ? readFileSync(log, 'utf8').split('Accepted publickey').length - 2 : 0),
    stop: () => child.stop(),
  };
}

async function standIn(
  options: SshdOptions,
  host: { privateKey: string },
  common: Common,
): Promise<RunningSshd> {
  const accepted = ssh2.utils.parseKey(options.authorizedKey) as ParsedKey;
  const open = new Set<Connection>();
  let calls = 0;
  const server = new ssh2.Server(
    { hostKeys: [host.privateKey], ...(options.banner === undefined ? {} : { banner: options.banner }) },
    (client) => {
      open.add(client);
      client.on('close', () => open.delete(client));
      client.on('error', () => undefined);
      client.on('authentication', (context) => {
        const known =
          context.method === 'publickey' &&
          context.username === common.user &&
          sameDigest(context.key.data, accepted.getPublicSSH()) &&
          (!context.signature ||
            !context.blob ||
            accepted.verify(context.blob, context.signature, context.hashAlgo));
        if (known) context.accept();
        else context.reject(['publickey']);
      });
      client.on('ready', () => {
        calls++;
        client.on('session', (acceptSession) => {
          acceptSession().on('exec', (acceptExec, _reject, info) => {
            const channel = acceptExec();
            const [file = '', ...args] = options.command;
            const child = spawn(file, args, {
              env: { PATH: process.env['PATH'], SSH_ORIGINAL_COMMAND: info.command },
            });
            channel.pipe(child.stdin);
            child.stdin.on('error', () => undefined);
            child.stdout.on('data', (chunk: Buffer) => channel.write(chunk));
            child.stderr.on('data', (chunk: Buffer) => channel.stderr.write(chunk));
            child.on('close', (code, signal) => {
              // As sshd does: a command that a signal ended has no exit code.
              if (signal !== null) channel.exit(signal.replace(/^SIG/, ''));
              else channel.exit(code ?? 255);
              channel.end();
            });
          });
        });
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(common.port, options.address, resolve);
  });
  return {
    kind: 'stand-in',
    version: 'stand-in',
    ...common,
    calls: () => calls,
    stop: () =>
      new Promise((resolve) => {
        for (const client of open) client.end();
        server.close(() => resolve());
      }),
  };
}

function sameDigest(a: Buffer, b: Buffer): boolean {
  const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  return digest(a) === digest(b);
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('data', () => end(true));
    socket.once('error', () => end(false));
    socket.setTimeout(1_000, () => end(false));
  });
}
