/**
 * The lines that a proxy's administrator puts in place for the cycle's account: a key that is bound to the fixed script,
 * and, where nginx belongs to root, the one command that the account may run as root. Pure text.
 */
import { CodedError } from '../../../ports/errors.ts';

/** Where node-cycle-proxy.sh is put on the proxy; owned by root, writable by nobody else. */
export const SCRIPT_PATH = '/usr/local/sbin/node-cycle-proxy.sh';

export interface Account {
  user: string;
  /** `type base64`, as in an .pub file, its comment left out. */
  publicKey: string;
  /** Files that may be read and replaced. */
  files: readonly string[];
  /** `sudo`: the account is not root's, and nginx is. */
  runs: 'itself' | 'sudo';
  /** Default: SCRIPT_PATH. */
  script?: string;
}

export interface AccountFiles {
  /** One line for ~/.ssh/authorized_keys. */
  authorizedKeys: string;
  /** For /etc/sudoers.d; absent when none is needed. */
  sudoers?: string;
  /** /etc/node-cycle-proxy.conf. */
  settings: string;
}

/** Throws NC4006 for anything that would not stay on its line. */
export function accountFiles({ user, publicKey, files, runs, script = SCRIPT_PATH }: Account): AccountFiles {
  const key = /^(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) [A-Za-z0-9+/]+={0,2}$/;
  const wrong = [
    ...(/^[a-z_][a-z0-9_-]{0,31}$/.test(user) ? [] : [user]),
    ...(key.test(publicKey) ? [] : [publicKey]),
    ...files.filter((path) => !path.startsWith('/') || /[\x00-\x1f\x7f]/.test(path)),
    ...(/^\/[A-Za-z0-9_./-]+$/.test(script) ? [] : [script]),
  ];
  if (wrong.length > 0)
    throw new CodedError('NC4006', 'Expected a user, a public key and absolute paths.', wrong.map(quote));
  const command = runs === 'sudo' ? `sudo -n ${script}` : script;
  return {
    // `restrict` takes away terminals, forwarding and ~/.ssh/rc, those that a later OpenSSH adds included.
    authorizedKeys: `restrict,command="${command}" ${publicKey}\n`,
    ...(runs === 'sudo'
      ? {
          sudoers: `Defaults!${script} env_keep += "SSH_ORIGINAL_COMMAND"\n${user} ALL=(root) NOPASSWD: ${script} ""\n`,
        }
      : {}),
    settings: files.map((path) => `file=${path}\n`).join(''),
  };
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 120));
}
