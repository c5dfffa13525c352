/**
 * The lab's whole proxy: nginx and the SSH account that is bound to the fixed script.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startNginx } from './nginx.ts';
import type { NginxOptions, RunningNginx } from './nginx.ts';
import { makeSshKey, startSshd } from './sshd.ts';
import type { RunningSshd } from './sshd.ts';

export interface ProxyServerOptions extends Omit<NginxOptions, 'use'> {
  /** Where SSH listens; nginx listens where its files say. */
  address: string;
  sshPort: number;
  /** The account's key pair; a new one when absent. */
  key?: { privateKey: string; publicKey: string };
  banner?: string;
  useNginx?: 'real' | 'stand-in';
  useSshd?: 'real' | 'stand-in';
}

export interface RunningProxy {
  nginx: RunningNginx;
  sshd: RunningSshd;
  /** As the product's `SshTarget`. */
  target: { host: string; port: number; user: string; privateKey: string; hostKeys: string[] };
  stop(): Promise<void>;
}

const SCRIPT = fileURLToPath(new URL('../../../cycle/edge/nginx/node-cycle-proxy.sh', import.meta.url));

export async function startProxy(options: ProxyServerOptions): Promise<RunningProxy> {
  const nginx = await startNginx({
    ...options,
    dir: join(options.dir, 'nginx'),
    ...(options.useNginx ? { use: options.useNginx } : {}),
  });
  const key = options.key ?? makeSshKey();
  const sshDir = join(options.dir, 'ssh');
  mkdirSync(sshDir, { recursive: true });
  const settings = join(sshDir, 'node-cycle-proxy.conf');
  writeFileSync(
    settings,
    [
      `nginx=${nginx.binary}`,
      `prefix=${nginx.prefix}`,
      `conf=${nginx.conf}`,
      `pid=${nginx.pidFile}`,
      `errorlog=${nginx.errorLog}`,
      `state=${join(sshDir, 'state')}`,
      ...nginx.files.map((file) => `file=${file}`),
      '',
    ].join('\n'),
  );
  try {
    const sshd = await startSshd({
      dir: sshDir,
      address: options.address,
      port: options.sshPort,
      authorizedKey: key.publicKey,
      command: ['/bin/sh', SCRIPT, settings],
      ...(options.banner === undefined ? {} : { banner: options.banner }),
      ...(options.useSshd ? { use: options.useSshd } : {}),
    });
    return {
      nginx,
      sshd,
      target: {
        host: sshd.address,
        port: sshd.port,
        user: sshd.user,
        privateKey: key.privateKey,
        hostKeys: [sshd.hostKey],
      },
      async stop() {
        await Promise.all([sshd.stop(), nginx.stop()]);
      },
    };
  } catch (error) {
    await nginx.stop();
    throw error;
  }
}
