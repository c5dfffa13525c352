import assert from 'node:assert/strict';
import { SMALL } from '../../../../lab/example.ts';
import { CWD, testCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';

const node = (more: string) =>
  `nodes:\n  - address: 127.0.0.2\n    user: ubuntu\n    role: [etcd, controlplane, worker]\n${more}`;
const second = (more: string) =>
  node(`  - address: 127.0.0.3\n    user: ubuntu\n    role: [worker]\n${more}`);

/** Rows of facts/rke-ran.md, section 3. */
const REFUSED: [string, string, string][] = [
  [
    'a broken flow list',
    'nodes:\n  - role: [etcd\n',
    'Failed to parse cluster file: error unmarshalling: error converting YAML to JSON: yaml: line',
  ],
  [
    'a number for nodes',
    'nodes: 5\n',
    'Failed to parse cluster file: yaml: unmarshal errors:\\n  line 1: cannot unmarshal !!int `5` into []types.RKEConfigNode',
  ],
  [
    'a word for role',
    'nodes:\n  - address: 127.0.0.2\n    user: u\n    role: worker\n',
    'Failed to parse cluster file: yaml: unmarshal errors:\\n  line 4: cannot unmarshal !!str `worker` into []string',
  ],
  [
    'an unknown role',
    'nodes:\n  - address: 127.0.0.2\n    user: u\n    role: [boss]\n',
    'Failed to classify hosts from config file: Failed to recognize host [127.0.0.2] role boss',
  ],
  [
    'a role in the wrong case',
    'nodes:\n  - address: 127.0.0.2\n    user: u\n    role: [Worker]\n',
    'Failed to classify hosts from config file: Failed to recognize host [127.0.0.2] role Worker',
  ],
  [
    'an empty list of roles',
    'nodes:\n  - address: 127.0.0.2\n    user: u\n    role: []\n',
    'Failed to validate cluster: Role for host (1) is not provided',
  ],
  [
    'the same address twice',
    node('  - address: 127.0.0.2\n    user: u\n    role: [worker]\n'),
    "Failed to validate cluster: Cluster can't have duplicate node: 127.0.0.2",
  ],
  [
    'the same name twice',
    second('    hostname_override: h1\n').replace('role: [etcd', 'hostname_override: h1\n    role: [etcd'),
    "Failed to validate cluster: Cluster can't have duplicate node: h1",
  ],
  [
    "a name that is another node's address",
    second('    hostname_override: 127.0.0.2\n'),
    "Failed to validate cluster: Cluster can't have duplicate node: 127.0.0.2",
  ],
  [
    'no user',
    'nodes:\n  - address: 127.0.0.2\n    role: [etcd]\n',
    'Failed to validate cluster: User for host (1) is not provided',
  ],
  [
    'no address',
    'nodes:\n  - user: u\n    role: [etcd]\n',
    'Failed to validate cluster: Address for host (1) is not provided',
  ],
  [
    'a name that no host may have',
    node('').replace('user', 'hostname_override: Node_A\n    user'),
    'Failed to validate cluster: Hostname_override [node_a] for host (1) is not valid: [a lowercase RFC 1123 subdomain',
  ],
  [
    'a version that it does not know',
    node('kubernetes_version: v9.9.9-rancher1-1\n'),
    'Failed to validate cluster: v9.9.9-rancher1-1 is an unsupported Kubernetes version and system images are not populated: etcd image is not populated',
  ],
  ['a version that is none', node('kubernetes_version: banana\n'), 'banana is not in dotted-tri format'],
  [
    'a network that it does not know',
    node('network: {plugin: foo}\n'),
    'Failed to validate cluster: Network plugin [foo] is not supported',
  ],
];

describe('rke: commands and configuration', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await testCluster(SMALL);
  });
  after(() => cluster.close());

  for (const [name, yml, expected] of REFUSED)
    it(`refuses ${name} with exit 1 and leaves the state file alone`, async () => {
      const state = cluster.text('cluster.rkestate');
      cluster.put('bad.yml', yml);
      cluster.put('bad.rkestate', state);
      const { code, messages, stderr } = await cluster.up('--config', 'bad.yml');
      assert.equal(code, 1);
      assert.deepEqual(stderr, []);
      assert.equal(messages[0], 'info Running RKE version: v1.2.23');
      assert.ok(messages.at(-1)?.startsWith(`fatal ${expected}`), messages.at(-1));
      assert.equal(
        messages.includes('info Initiating Kubernetes cluster'),
        !expected.startsWith('Failed to parse'),
      );
      assert.equal(cluster.text('bad.rkestate'), state);
    });

  it('says where it looked when there is no cluster.yml, with a small f for snapshots', async () => {
    const up = await cluster.run(['up', '--config', 'none.yml']);
    assert.equal(
      up.messages.at(-1),
      `fatal Failed to resolve cluster file: can not find cluster configuration file: open ${CWD}/none.yml: no such file or directory`,
    );
    const snapshot = await cluster.run(['etcd', 'snapshot-save', '--config', 'none.yml']);
    assert.match(snapshot.messages.at(-1) ?? '', /^fatal failed to resolve cluster file/);
    assert.deepEqual([up.code, snapshot.code], [1, 1]);
  });

  it('accepts unknown keys, and the last of two equal keys, without a word', async () => {
    cluster.put('odd.yml', `${cluster.example.clusterYml}\nfrobnicate: yes\ncluster_name: other\n`);
    cluster.put('odd.rkestate', cluster.text('cluster.rkestate'));
    const { naive } = await cluster.up('--config', 'odd.yml');
    assert.equal(naive, true);
    assert.match(cluster.text('odd.rkestate'), /"clusterName": "other"/);
    assert.doesNotMatch(cluster.text('odd.rkestate'), /frobnicate/);
    assert.match(cluster.text('kube_config_odd.yml'), /^apiVersion: v1/);
  });

  it('answers --version, an unknown command (3, stderr), an unknown flag and a flag that is global', async () => {
    assert.deepEqual((await cluster.run(['--version'])).stdout, ['rke version v1.2.23']);
    const unknown = await cluster.run(['frobnicate']);
    assert.deepEqual([unknown.code, unknown.stderr], [3, ["No help topic for 'frobnicate'"]]);
    const flag = await cluster.run(['up', '-q']);
    assert.equal(flag.code, 1);
    assert.equal(flag.stdout[0], 'Incorrect Usage: flag provided but not defined: -q');
    assert.equal(flag.messages.at(-1), 'fatal flag provided but not defined: -q');
  });

  it('lists its versions in an order that is none', async () => {
    const one = await cluster.run(['config', '--list-version']);
    assert.deepEqual(one.stdout, ['v1.20.15-rancher2-1']);
    assert.equal((await cluster.run(['config', '--list-version', '--all'])).stdout.length, 4);
  });

  it('prints nothing at all with -q, not even why it failed', async () => {
    const { code, stdout, stderr } = await cluster.run(['-q', 'up', '--config', 'none.yml']);
    assert.deepEqual([code, stdout, stderr], [1, [], []]);
  });

  it('writes in another form to a terminal, and leaves a word without spaces unquoted', async () => {
    const { stdout } = await cluster.run(['up', '--config', 'none.yml'], { tty: true });
    assert.match(stdout[0] ?? '', /^\u001b\[36mINFO\u001b\[0m\[0000\] Running RKE version: v1\.2\.23 +$/);
    const asked = await cluster.run(['remove']);
    assert.match(asked.stdout.join('|'), /\[y\/n\]: \|time="[^"]+" level=fatal msg=EOF$/);
    assert.equal(asked.code, 1);
  });

  it('panics on stderr with exit 2 when a key path has one character', async () => {
    cluster.put('panic.yml', node('').replace('user', 'ssh_key_path: k\n    user'));
    const { code, stderr } = await cluster.run(['up', '--config', 'panic.yml']);
    assert.deepEqual(
      [code, stderr],
      [2, ['panic: runtime error: slice bounds out of range [:2] with length 1']],
    );
  });
});
