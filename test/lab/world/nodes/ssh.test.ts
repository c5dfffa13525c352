import { makeSshKeyPair } from '../../../../lab/ssh-key.ts';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import ssh2 from 'ssh2';
import { SMALL } from '../../../../lab/example.ts';
import { serveNodeSsh } from '../../../../lab/servers/ssh-nodes.ts';
import type { NodeSsh } from '../../../../lab/servers/ssh-nodes.ts';
import { testCluster } from '../rke/cluster.ts';
import type { TestCluster } from '../rke/cluster.ts';

describe('SSH of the nodes', function () {
  this.timeout(15_000);
  let cluster: TestCluster;
  let nodes: NodeSsh;
  before(async () => {
    cluster = await testCluster(SMALL);
    nodes = serveNodeSsh(cluster.world, { port: cluster.example.ports.ssh });
    await nodes.ready();
  });
  after(async () => {
    await nodes.close();
    await cluster.close();
  });

  function ask(n: number, command: string, privateKey = cluster.example.nodeKey.private) {
    const { address } = cluster.machine(n);
    let hostKey = '';
    return new Promise<{ code: number; stdout: string; stderr: string; hostKey: string }>(
      (resolve, reject) => {
        const client = new ssh2.Client();
        client.on('error', reject);
        client.on('ready', () => {
          client.exec(command, (error, channel) => {
            if (error !== undefined) {
              reject(error);
              return;
            }
            let [stdout, stderr, code] = ['', '', -1];
            channel.on('data', (part: Buffer) => (stdout += part.toString()));
            channel.stderr.on('data', (part: Buffer) => (stderr += part.toString()));
            channel.on('exit', (status: number) => (code = status));
            channel.on('close', () => {
              client.end();
              resolve({ code, stdout, stderr, hostKey });
            });
          });
        });
        client.connect({
          host: address,
          port: cluster.example.ports.ssh,
          username: 'ubuntu',
          privateKey,
          readyTimeout: 3_000,
          hostVerifier: (key: Buffer) => {
            hostKey = `ssh-ed25519 ${key.toString('base64')}`;
            return true;
          },
        });
      },
    );
  }

  it('shows the host key of its machine and runs true', async () => {
    const { code, stdout, hostKey } = await ask(1, 'true');
    assert.deepEqual([code, stdout, hostKey], [0, '', cluster.machine(1).sshHostKey.public]);
    assert.ok(cluster.example.knownHosts.includes(hostKey));
  });

  it('answers what steps ask of a node, and 127 for all else', async () => {
    assert.equal((await ask(0, "docker version --format '{{.Server.Version}}'")).stdout, '20.10.24\n');
    assert.match((await ask(0, 'cat /etc/os-release')).stdout, /^PRETTY_NAME="Ubuntu 22\.04/);
    assert.match((await ask(0, 'uname -r')).stdout, /^5\.15/);
    assert.match((await ask(0, 'uptime -s')).stdout, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n$/);
    const unknown = await ask(0, 'rm -rf /');
    assert.deepEqual([unknown.code, unknown.stderr], [127, 'bash: line 1: rm: command not found\n']);
  });

  it('lists pending security updates', async () => {
    cluster.machine(0).files.set('/var/lib/apt/pending', Buffer.from('openssl 3.0.2-0 3.0.2-1\n'));
    const { stdout } = await ask(0, 'apt-get -s upgrade');
    assert.match(
      stdout,
      /^Inst openssl \[3\.0\.2-0\] \(3\.0\.2-1 Ubuntu:22\.04\/jammy-security \[amd64\]\)$/m,
    );
  });

  it('pulls an image that was not there', async () => {
    const image = 'rancher/mirrored-pause:3.9';
    assert.equal((await ask(2, `docker image inspect ${image}`)).code, 1);
    assert.equal((await ask(2, `docker pull ${image}`)).code, 0);
    assert.equal((await ask(2, `docker image inspect ${image}`)).code, 0);
  });

  it('lets nobody in with another key', async () => {
    const other = makeSshKeyPair().private;
    await assert.rejects(ask(0, 'true', other), /authentication methods failed/);
  });

  it('goes with its machine, and is silent when it is told to be', async () => {
    const { address } = cluster.machine(2);
    const first = (ms: number) =>
      new Promise<string>((resolve) => {
        const socket = connect(cluster.example.ports.ssh, address);
        const timer = setTimeout(() => {
          socket.destroy();
          resolve('silent');
        }, ms);
        socket.on('data', (part) => {
          clearTimeout(timer);
          socket.destroy();
          resolve(part.toString());
        });
        socket.on('error', (error) => {
          clearTimeout(timer);
          resolve((error as NodeJS.ErrnoException).code ?? '');
        });
      });
    assert.match(await first(2_000), /^SSH-2\.0-OpenSSH_8\.9p1/);
    cluster.machine(2).ssh = 'silent';
    assert.equal(await first(300), 'silent');
    await cluster.world.hosts.powerOff(cluster.machine(2).vmId, 'cut');
    assert.equal(await first(300), 'ECONNREFUSED');
  });
});
