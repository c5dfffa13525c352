/** docs/proxy.md: how the account on an external nginx is set up, with the lines that account.ts makes. */
import { accountFiles, SCRIPT_PATH } from '../cycle/edge/nginx/account.ts';
import { VERBS } from '../cycle/edge/nginx/frames.ts';

const KEY = 'ssh-ed25519 AAAA…';
const EXAMPLE = {
  user: 'node-cycle',
  // The text of a real key; what a person writes there stands in its place.
  publicKey: 'ssh-ed25519 AAAA',
  files: ['/etc/nginx/conf.d/home.conf', '/etc/nginx/stream.d/tcp.conf'],
};

export function proxyDocument(): string {
  const sudo = accountFiles({ ...EXAMPLE, runs: 'sudo' });
  const itself = accountFiles({ ...EXAMPLE, runs: 'itself' });
  const keyLine = (text: string) => text.replace(EXAMPLE.publicKey, KEY);
  return `# The account on the external nginx

Generated from \`cycle/edge/nginx/account.ts\` by \`npm run generate\`.

Node Cycle changes nginx over SSH, as an account that may run one script and nothing else. The script has ${VERBS.length} verbs (${VERBS.join(', ')}). It replaces only the files that its settings list, asks \`nginx -t\` before anything is in force, and reloads; values reach it as bytes on its standard input. With a keepalived pair, do this on both and list both under \`proxies\`.

1. **The script.** Copy \`cycle/edge/nginx/node-cycle-proxy.sh\` to \`${SCRIPT_PATH}\`, owned by root, mode 0755. It needs a POSIX shell with the usual programs (\`base64\`, \`sha256sum\`, \`awk\`, \`ps\`), and \`/proc\` to see open connections. Copy it again when Node Cycle is updated: another version is refused (NC4005).

   \`\`\`sh
   install -o root -g root -m 0755 node-cycle-proxy.sh ${SCRIPT_PATH}
   useradd --system --create-home --shell /bin/sh ${EXAMPLE.user}
   \`\`\`

2. **The files.** \`/etc/node-cycle-proxy.conf\`, owned by root, mode 0644: one line for each file with \`upstream\` blocks that hold nodes, and for each file that these include. Every proxied place of a node must be in one of them.

   \`\`\`ini
${indented(sudo.settings)}
   \`\`\`

   Where nginx is not as Debian has it, also \`nginx=\` (the program), \`prefix=\`, \`conf=\`, \`pid=\`, \`errorlog=\` and \`state=\` (a folder of the script's own, \`/var/lib/node-cycle-proxy\`).

3. **The key.** Make one for this use alone (\`ssh-keygen -t ed25519\`), put the private half into the SSH service connection \`proxy\`, and the public half into \`~${EXAMPLE.user}/.ssh/authorized_keys\`, as this one line:

   \`\`\`text
${indented(keyLine(sudo.authorizedKeys))}
   \`\`\`

   Anything that the account's shell or sshd prints at a login is ignored: each line of an answer begins with a word that only this request knows.

4. **Root.** nginx belongs to root, so the script runs by sudo, and nothing else does. \`visudo -f /etc/sudoers.d/node-cycle\`:

   \`\`\`text
${indented(sudo.sudoers ?? '')}
   \`\`\`

   Where nginx runs as the account itself, no sudo is needed, and the key's line is:

   \`\`\`text
${indented(keyLine(itself.authorizedKeys))}
   \`\`\`

5. **The host key.** \`ssh-keyscan -t ed25519 HOST\`, compared with \`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\` on the proxy itself: type and key are \`proxies[].hostKey\` in \`node-cycle.yml\`. Another key is refused.

6. **What it should answer.** \`proxies[].probe\`: a URL that users open. After each reload it is asked through this proxy, as often as every server of an upstream has its turn in every worker, and nginx's error log must name no failure of the new one; otherwise the old files come back. \`http\`, \`https\`, \`tcp\` and \`tls\` are the kinds; \`probes\` takes more of them, for a stream beside a site. Without a probe a reload counts when the workers are new and the error log is clean.

7. **Try it.** From the agent, with that key, \`ssh -T ${EXAMPLE.user}@HOST read < /dev/null\` must end with exit code 64 and no shell: the script was started and was sent nothing. A dry run of PlanCycle reads the files.

\`worker_shutdown_timeout\` bounds how long old workers keep long-lived connections; leave it above \`proxies[].drainSeconds\`.
`;
}

function indented(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `   ${line}`)
    .join('\n');
}
