/** The peer of a job: the real `ssh` runs `true` at the real sshd on this machine, over an open connection or a new one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../lab/servers/proxy/child.ts';
import { makeSshKey, startSshd } from '../lab/servers/proxy/sshd.ts';

const ADDRESS = '127.0.0.1';
const DEADLINE_MS = 10_000;
const POLL_MS = 20;

export interface Ssh {
  /** Over the connection of a master (`ControlMaster`) that is open all the time. */
  overOpenConnection(): Promise<void>;
  newLogin(): Promise<void>;
}

/** Rejects when this machine has no ssh or sshd. */
export async function withSsh<T>(work: (ssh: Ssh) => Promise<T>): Promise<T> {
  const ssh = findProgram('ssh');
  const program = findProgram('true');
  if (ssh === undefined || program === undefined) throw new Error('ssh or true is not installed');
  const dir = mkdtempSync(join(tmpdir(), 'bench-ssh-'));
  const key = makeSshKey();
  const server = await startSshd({
    ...{ dir: join(dir, 'sshd'), address: ADDRESS, port: 0, use: 'real' },
    ...{ authorizedKey: key.publicKey, command: [program] },
  });
  const identity = join(dir, 'key');
  const knownHosts = join(dir, 'known_hosts');
  const control = join(dir, 'master');
  writeFileSync(identity, key.privateKey, { mode: 0o600 });
  writeFileSync(knownHosts, `[${ADDRESS}]:${server.port} ${server.hostKey}\n`);
  const settings = [
    ...['BatchMode=yes', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes', 'LogLevel=ERROR'],
    ...[`IdentityFile=${identity}`, `UserKnownHostsFile=${knownHosts}`],
  ];
  const call = (options: readonly string[], ...words: string[]) => [
    ...['-F', 'none', '-p', String(server.port), ...settings.flatMap((each) => ['-o', each]), ...options],
    ...[`${server.user}@${ADDRESS}`, ...words],
  ];
  const master = spawn(ssh, call(['-M', '-N', '-S', control]), { stdio: 'ignore' });
  const ended = once(master, 'close');
  const run = async (args: readonly string[]): Promise<number | null> => {
    const child = spawn(ssh, args, { stdio: 'ignore', timeout: DEADLINE_MS });
    await once(child, 'close');
    return child.exitCode;
  };
  const mustRun = async (args: readonly string[]): Promise<void> => {
    const code = await run(args);
    if (code !== 0) throw new Error(`ssh ended with ${String(code)}`);
  };
  try {
    const until = performance.now() + DEADLINE_MS;
    while ((await run(call(['-S', control, '-O', 'check']))) !== 0) {
      if (performance.now() > until || master.exitCode !== null) throw new Error('ssh opens no connection');
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return await work({
      // A master that is lost would make it a new login, and no number would say so.
      overOpenConnection: () => mustRun(call(['-S', control, '-o', 'ProxyCommand=false'], 'true')),
      newLogin: () => mustRun(call(['-S', 'none'], 'true')),
    });
  } finally {
    master.kill('SIGTERM');
    await ended;
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}
