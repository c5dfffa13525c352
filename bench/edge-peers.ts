/**
 * The same change of an upstream by the means that people have: Debian's `ansible` with a template and a handler over
 * SSH, and a shell script on the proxy itself. Neither proves that the reload took.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../lab/servers/proxy/child.ts';
import { makeSshKey, startSshd } from '../lab/servers/proxy/sshd.ts';
import type { EdgeWorld } from './edge.ts';

const DEADLINE_MS = 60_000;

export interface Peer {
  name: string;
  /** Puts these servers into the upstream, in this order, and reloads. */
  change(addresses: readonly string[]): Promise<void>;
  end(): Promise<void>;
}

/** Undefined without `ansible-playbook` (package `ansible-core`). */
export async function ansiblePeer(world: EdgeWorld): Promise<Peer | undefined> {
  const [playbook, python] = [findProgram('ansible-playbook'), findProgram('python3')];
  if (playbook === undefined || python === undefined) return undefined;
  const dir = join(world.dir, 'ansible');
  mkdirSync(dir);
  const key = makeSshKey();
  // An account of Ansible's has a shell; its own login is not bound to one command.
  const login = await startSshd({
    ...{ dir: join(dir, 'sshd'), address: '127.0.0.1', port: 0, use: 'real', authorizedKey: key.publicKey },
    command: ['/bin/sh', '-c', 'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'],
  });
  const at = (name: string) => join(dir, name);
  writeFileSync(at('key'), key.privateKey, { mode: 0o600 });
  writeFileSync(at('known_hosts'), `[127.0.0.1]:${login.port} ${login.hostKey}\n`);
  writeFileSync(at('web.conf.j2'), template(world));
  writeFileSync(
    at('inventory'),
    `proxy ansible_host=127.0.0.1 ansible_port=${login.port} ansible_user=${login.user} ansible_ssh_private_key_file=${at('key')} ansible_python_interpreter=${python}\n`,
  );
  writeFileSync(
    at('ansible.cfg'),
    `[defaults]\nhost_key_checking = True\nlocal_tmp = ${at('tmp')}\nremote_tmp = ${at('remote')}\n[ssh_connection]\npipelining = True\nssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=${at('c')} -o UserKnownHostsFile=${at('known_hosts')}\n`,
  );
  const { binary, prefix, conf } = world.proxy.nginx;
  writeFileSync(
    at('play.yml'),
    `- hosts: proxy\n  gather_facts: false\n  tasks:\n    - template: { src: web.conf.j2, dest: ${world.file} }\n      notify: reload\n  handlers:\n    - name: reload\n      command: ${binary} -p ${prefix} -c ${conf} -s reload\n`,
  );
  return {
    name: 'ansible: template and handler',
    change: (addresses) =>
      mustRun(
        playbook,
        ['-i', at('inventory'), '-e', JSON.stringify({ servers: addresses }), at('play.yml')],
        {
          ...{ ANSIBLE_CONFIG: at('ansible.cfg'), ANSIBLE_HOME: at('home'), HOME: dir },
        },
      ),
    end: () => login.stop(),
  };
}

/** A script on the proxy: write, test, reload. It has no login to make and nothing that it waits for. */
export function shellPeer(world: EdgeWorld): Peer {
  const { binary, prefix, conf } = world.proxy.nginx;
  const nginx = `${binary} -p ${prefix} -c ${conf}`;
  return {
    name: 'a shell script on the proxy',
    change: (addresses) =>
      mustRun('/bin/sh', [
        '-c',
        `printf '%s' "$1" > ${world.file} && ${nginx} -t 2> /dev/null && ${nginx} -s reload`,
        'change',
        world.text(addresses),
      ]),
    end: () => Promise.resolve(),
  };
}

function template(world: EdgeWorld): string {
  const [line = ''] = /^ {4}server .*\n/m.exec(world.text(['@'])) ?? [];
  const loop = `{% for one in servers %}\n${line.replace('@', '{{ one }}')}{% endfor %}\n`;
  return world.text(['@']).replace(line, loop);
}

async function mustRun(
  file: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<void> {
  const child = spawn(file, args, { env: { ...process.env, ...env }, timeout: DEADLINE_MS });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await once(child, 'close');
  if (child.exitCode !== 0)
    throw new Error(`${file} ended with ${String(child.exitCode)}: ${said.slice(-500)}`);
}
