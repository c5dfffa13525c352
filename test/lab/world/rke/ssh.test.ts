import { makeSshKeyPair } from '../../../../lab/ssh-key.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { SMALL } from '../../../../lab/example.ts';
import { CWD, testCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';

const DOCKER_GET = `Can't retrieve Docker Info: error during connect: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/info": `;

/** A file with only the first node. */
const single = (cluster: TestCluster) => {
  const nodes = cluster.example.nodes.slice(1);
  let yml = cluster.example.clusterYml;
  for (let n = 0; n < nodes.length; n++) yml = yml.replace(/ {4}- address: \S+\.1[23]\b[\s\S]*?\n\n/, '');
  return yml;
};

describe('rke: hosts that it cannot use', function () {
  this.timeout(15_000);
  let cluster: TestCluster;
  const dir = mkdtempSync(join(tmpdir(), 'node-cycle-keys-'));
  before(async () => {
    cluster = await testCluster(SMALL, { established: false });
  });
  after(async () => {
    await cluster.close();
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(() => {
    cluster.put('cluster.yml', single(cluster));
    cluster.files.delete(`${CWD}/cluster.rkestate`);
    cluster.files.delete(`${CWD}/kube_config_cluster.yml`);
  });
  const target = () => `${cluster.example.nodes[0]?.address ?? ''}:2222`;

  async function refused(
    reason: () => string,
    more: Parameters<TestCluster['run']>[1] = {},
    argv = ['up', '--ssh-agent-auth'],
  ) {
    const host = cluster.example.nodes[0]?.address ?? '';
    const fresh = await cluster.run(argv, more);
    assert.equal(fresh.code, 1);
    assert.ok(
      fresh.messages.includes(`warning Failed to set up SSH tunneling for host [${host}]: ${reason()}`),
      fresh.messages.find((line) => line.startsWith('warning Failed')),
    );
    assert.ok(fresh.messages.includes(`warning Removing host [${host}] from node lists`));
    assert.equal(
      fresh.messages.at(-1),
      'fatal Cluster must have at least one etcd plane host: please specify one or more etcd in cluster config',
    );
    cluster.put('cluster.rkestate', '');
    const again = await cluster.run(argv, more);
    assert.equal(
      again.messages.at(-1),
      `fatal Cluster must have at least one etcd plane host: failed to connect to the following etcd host(s) [${host}]`,
    );
  }

  it('names neither SSH nor the refusal when the port is closed', async () => {
    cluster.put('cluster.yml', single(cluster).replace('"2222"', '"2223"'));
    await refused(
      () =>
        "Can't retrieve Docker Info: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    );
  });

  it('says no route to host for a host that is off', async () => {
    const { vmId } = cluster.machine(0);
    await cluster.world.hosts.powerOff(vmId, 'cut');
    await refused(
      () =>
        `${DOCKER_GET}Failed to dial ssh using address [${target()}]: dial tcp ${target()}: connect: no route to host`,
    );
    await cluster.world.hosts.powerOn(vmId);
  });

  it('says unable to authenticate for a key that the host does not take', async () => {
    const other = makeSshKeyPair().public;
    await refused(
      () =>
        `${DOCKER_GET}Unable to access node with address [${target()}] using SSH. Please check if you are able to SSH to the node using the specified SSH Private Key and if you have configured the correct SSH username. Error: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain`,
      { agentKeys: [other] },
    );
  });

  const noKey = () =>
    `${DOCKER_GET}Unable to access node with address [${target()}] using SSH. Please check if the configured key or specified key file is a valid SSH Private Key. Error: Error configuring SSH: ssh: no key found`;

  it('calls a missing agent a missing key', async () => {
    await refused(noKey, { agentKeys: undefined });
  });

  const key = '/home/op/.ssh/home_ed25519';
  const withFile = (text?: string) => {
    cluster.files.delete(key);
    if (text !== undefined) cluster.files.set(key, { kind: 'file', text, mode: 0o600 });
  };

  it('names the key file that is not there', async () => {
    withFile();
    await refused(
      () =>
        `Can't establish dialer connection: Error while reading SSH key file: open ${key}: no such file or directory`,
      {},
      ['up'],
    );
  });

  it('finds no key in a file of junk', async () => {
    withFile('junk\n');
    await refused(noKey, {}, ['up']);
  });

  it('says passphrase protected for an encrypted key', async () => {
    const path = join(dir, 'locked');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret-word', '-f', path]);
    withFile(readFileSync(path, 'utf8'));
    await refused(
      () =>
        `${DOCKER_GET}Failed to dial ssh using address [${target()}]: Error configuring SSH: ssh: this private key is passphrase protected`,
      {},
      ['up'],
    );
  });

  it('cannot log in with a good RSA key', async () => {
    const pair = ssh2.utils.generateKeyPairSync('rsa', { bits: 2048 });
    cluster.machine(0).authorizedKeys.push(pair.public.trim().split(' ').slice(0, 2).join(' '));
    withFile(pair.private);
    const { messages } = await cluster.run(['up']);
    assert.ok(messages.some((line) => line.includes('ssh: unable to authenticate')));
  });

  it('logs in with the key of the file when it is right', async () => {
    withFile(cluster.example.nodeKey.private);
    cluster.machine(0).dockerVersion = '28.2.2';
    const { messages } = await cluster.run(['up']);
    assert.ok(!messages.some((line) => line.includes('SSH tunneling')));
  });

  it('ends on a Docker that it does not support, whatever ignore_docker_version in the file says', async () => {
    cluster.machine(0).dockerVersion = '28.2.2';
    cluster.put('cluster.yml', `${single(cluster)}\nignore_docker_version: true\n`);
    const { messages, code } = await cluster.up();
    const text = `Unsupported Docker version found [28.2.2] on host [${cluster.example.nodes[0]?.address ?? ''}], supported versions are [1.13.x 17.03.x 17.06.x 17.09.x 18.06.x 18.09.x 19.03.x 20.10.x]`;
    assert.ok(messages.includes(`warning [state] can't fetch legacy cluster state from Kubernetes: ${text}`));
    assert.deepEqual([code, messages.at(-1)], [1, `fatal ${text}`]);
    cluster.machine(0).dockerVersion = '';
    const none = await cluster.up();
    assert.ok(
      none.messages.some((line) => line.includes('Unable to access the service on /var/run/docker.sock.')),
    );
    cluster.machine(0).dockerVersion = '20.10.24';
  });

  it('hangs for ever on a host that accepts and says nothing', async () => {
    cluster.machine(0).ssh = 'silent';
    const killed = new AbortController();
    setTimeout(() => {
      killed.abort();
    }, 700);
    const { code, messages } = await cluster.run(['up', '--ssh-agent-auth'], { signal: killed.signal });
    assert.equal(code, undefined);
    assert.equal(
      messages.at(-1),
      `info [dialer] Setup tunnel for host [${cluster.example.nodes[0]?.address ?? ''}]`,
    );
    delete cluster.machine(0).ssh;
  });

  it('says that it needs etcd only after it has written a state for a file without nodes', async () => {
    cluster.put('cluster.yml', '');
    const { code, messages } = await cluster.up();
    assert.equal(code, 1);
    assert.ok(messages.includes('info Successfully Deployed state file at [./cluster.rkestate]'));
    assert.match(messages.at(-1) ?? '', /please specify one or more etcd in cluster config$/);
  });

  it('fails late without a control plane: certificates deployed, no kubeconfig, currentState empty', async () => {
    cluster.put('cluster.yml', single(cluster).replace('[controlplane, etcd, worker]', '[etcd, worker]'));
    const { code, messages } = await cluster.up();
    assert.deepEqual(
      [code, messages.at(-1)],
      [
        1,
        'fatal failed to initialize new kubernetes client: stat ./kube_config_cluster.yml: no such file or directory',
      ],
    );
    assert.deepEqual(cluster.state().currentState, {});
  });
});
