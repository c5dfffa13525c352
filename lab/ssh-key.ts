/** A fresh ed25519 key pair in OpenSSH form. */
import ssh2 from 'ssh2';

export interface SshKey {
  /** OpenSSH form. */
  private: string;
  /** `type base64`. */
  public: string;
}

/** About one key in some hundred that ssh2 makes cannot be read again, by ssh2 itself or by ssh: those are made anew. */
export function makeSshKeyPair(): SshKey {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    if (ssh2.utils.parseKey(pair.private) instanceof Error) continue;
    return { private: pair.private, public: pair.public.trim().split(' ').slice(0, 2).join(' ') };
  }
}
