/** The lab's rke against the record of what the real v1.2.23 did, one case a fact; `log` is the record's name of the run. */
import assert from 'node:assert/strict';
import { SMALL } from '../../../../lab/example.ts';
import type { ExampleShape } from '../../../../lab/example.ts';
import { CWD, testCluster } from './cluster.ts';
import type { Outcome, TestCluster } from './cluster.ts';

interface Fact {
  log: string;
  fact: string;
  shape?: ExampleShape;
  /** The machines are there and nothing runs on them. */
  fresh?: boolean;
  arrange?(cluster: TestCluster): unknown;
  /** Default: `up --ssh-agent-auth`. */
  argv?: string[];
  more?: Parameters<TestCluster['run']>[1];
  code: number | undefined;
  /** `level message` of the last line; `{0}` is the address of the first node. */
  last?: string | RegExp;
  says?: (string | RegExp)[];
  not?: (string | RegExp)[];
  then?(cluster: TestCluster, outcome: Outcome): unknown;
}

const ALL = ['controlplane', 'etcd', 'worker'] as const;
const three = (third: ('controlplane' | 'etcd' | 'worker')[]): ExampleShape => ({
  cluster: 'home',
  nodes: [
    { roles: [...ALL], ageDays: 10 },
    { roles: ['etcd', 'worker'], ageDays: 10 },
    { roles: third, ageDays: 10 },
  ],
});
const SERVERS: ExampleShape = {
  cluster: 'home',
  nodes: [0, 1, 2].map(() => ({ roles: [...ALL], ageDays: 10 })),
};
const ONE: ExampleShape = { cluster: 'home', nodes: [{ roles: [...ALL], ageDays: 10 }] };

const FINISHED = 'info Finished building Kubernetes cluster successfully';
const NO_ETCD = 'Cluster must have at least one etcd plane host: ';
const DOCKER = `Can't retrieve Docker Info: error during connect: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/info": `;
const off = (n: number) => (cluster: TestCluster) =>
  cluster.world.hosts.powerOff(cluster.machine(n).vmId, 'cut');
const edit = (from: string | RegExp, to: string) => (cluster: TestCluster) => {
  const text = cluster.text('cluster.yml');
  assert.notEqual(text.replace(from, to), text, `cluster.yml has no ${String(from)}`);
  cluster.put('cluster.yml', text.replace(from, to));
};
const inTurn =
  (...acts: ((cluster: TestCluster) => unknown)[]) =>
  async (cluster: TestCluster) => {
    for (const act of acts) await act(cluster);
  };
const without = (n: number) => (cluster: TestCluster) => cluster.put('cluster.yml', cluster.without(n));
const up = (cluster: TestCluster) => cluster.up();
const write = (text: string) => (cluster: TestCluster) => cluster.put('cluster.yml', text);
const state = (text: string) => (cluster: TestCluster) => cluster.put('cluster.rkestate', text);
const noState = (cluster: TestCluster) => cluster.files.delete(`${CWD}/cluster.rkestate`);
const node = (more: string, roles = '[etcd, controlplane, worker]') =>
  `nodes:\n- address: 127.0.0.2\n  user: u\n  role: ${roles}\n${more}`;
const current = (cluster: TestCluster) =>
  (cluster.state().currentState.rkeConfig?.nodes ?? []).map(({ address }) => address);
const addresses = (cluster: TestCluster) => cluster.example.nodes.map(({ address }) => address);
const badConfig = (log: string, fact: string, yml: string, last: string | RegExp): Fact => ({
  log,
  fact: `refuses ${fact}, and touches no state file`,
  arrange: inTurn(write(yml), state('as it was')),
  code: 1,
  last: typeof last === 'string' ? `fatal ${last}` : last,
  says: ['info Running RKE version: v1.2.23'],
  then: (cluster, { stderr }) => {
    assert.deepEqual(stderr, []);
    assert.equal(cluster.text('cluster.rkestate'), 'as it was');
  },
});
/** A host that cannot be used, on a fresh cluster of one node. */
const login = (log: string, fact: string, reason: string, more: Partial<Fact>): Fact => ({
  log,
  fact: `cannot log in: ${fact}`,
  shape: ONE,
  fresh: true,
  code: 1,
  last: `fatal ${NO_ETCD}please specify one or more etcd in cluster config`,
  says: [
    'info [dialer] Setup tunnel for host [{0}]',
    `warning Failed to set up SSH tunneling for host [{0}]: ${reason}`,
    'warning Removing host [{0}] from node lists',
    `warning [state] can't fetch legacy cluster state from Kubernetes: ${NO_ETCD}failed to connect to the following etcd host(s) [{0}]`,
  ],
  then: (cluster) => assert.deepEqual(cluster.state().currentState, {}),
  ...more,
});
const KEY = '/home/op/.ssh/home_ed25519';
const key = (text: string) => (cluster: TestCluster) =>
  cluster.files.set(KEY, { kind: 'file', text, mode: 0o600 });
const NO_KEY = `${DOCKER}Unable to access node with address [{0}:2222] using SSH. Please check if the configured key or specified key file is a valid SSH Private Key. Error: Error configuring SSH: ssh: no key found`;

const COMMANDS: Fact[] = [
  {
    log: '01-badcmd',
    fact: 'ends with 3 and speaks on stderr for an unknown command',
    argv: ['frobnicate'],
    code: 3,
    then: (_c, { stderr, stdout }) =>
      assert.deepEqual([stderr, stdout], [["No help topic for 'frobnicate'"], []]),
  },
  {
    log: '01-badflag',
    fact: 'prints usage and a fatal line for an unknown flag, on stdout',
    argv: ['up', '--frob'],
    code: 1,
    last: 'fatal flag provided but not defined: -frob',
    says: ['Incorrect Usage: flag provided but not defined: -frob'],
  },
  {
    log: '73g',
    fact: 'does not know -q after up',
    argv: ['up', '-q'],
    code: 1,
    last: 'fatal flag provided but not defined: -q',
  },
  {
    log: '73f-quiet',
    fact: 'says nothing at all with -q, fatal line included',
    argv: ['-q', 'up', '--config', 'none.yml'],
    code: 1,
    then: (_c, { stdout, stderr }) => assert.deepEqual([stdout, stderr], [[], []]),
  },
  {
    log: '73h-tty',
    fact: 'writes colours and seconds to a terminal',
    more: { tty: true },
    arrange: write('nodes: 5\n'),
    code: 1,
    then: (_c, { stdout }) =>
      assert.match(
        stdout[0] ?? '',
        /^\u001b\[36mINFO\u001b\[0m\[0000\] Running RKE version: v1\.2\.23 {17}$/,
      ),
  },
  {
    log: '87a-remove-noforce',
    fact: 'asks before it removes, and takes an end of input for a fatal EOF without quotes on the same line',
    argv: ['remove'],
    code: 1,
    then: (cluster, { stdout }) => {
      assert.match(stdout.slice(-2).join(''), /\[y\/n\]: time="[^"]+Z" level=fatal msg=EOF$/);
      assert.equal(cluster.machine(0).containers.has('etcd'), true);
    },
  },
  {
    log: '87b-remove-force',
    fact: 'removes kubeconfig and state with --force',
    argv: ['remove', '--force', '--ssh-agent-auth'],
    code: 0,
    last: 'info Cluster removed successfully',
    says: [
      'info Removing local admin Kubeconfig: ./kube_config_cluster.yml',
      'info Removing state file: ./cluster.rkestate',
      'info State file removed successfully',
    ],
  },
  {
    log: 'version',
    fact: 'says its version on one line',
    argv: ['--version'],
    code: 0,
    then: (_c, { stdout }) => assert.deepEqual(stdout, ['rke version v1.2.23']),
  },
  {
    log: 'help',
    fact: 'helps on stdout',
    argv: [],
    code: 0,
    then: (_c, { stdout, stderr }) => assert.deepEqual([stdout.length > 5, stderr], [true, []]),
  },
  {
    log: 'list-version',
    fact: 'names its default Kubernetes on a plain line',
    argv: ['config', '--list-version'],
    code: 0,
    then: (_c, { stdout }) => assert.deepEqual(stdout, ['v1.20.15-rancher2-1']),
  },
  {
    log: 'list-version-all',
    fact: 'names all four in no order',
    argv: ['config', '--list-version', '--all'],
    code: 0,
    then: (_c, { stdout }) =>
      assert.deepEqual(stdout, [
        'v1.19.16-rancher2-1',
        'v1.17.17-rancher2-4',
        'v1.20.15-rancher2-1',
        'v1.18.20-rancher1-3',
      ]),
  },
  {
    log: 'system-images',
    fact: 'lists 30 images behind one log line',
    argv: ['config', '--system-images'],
    code: 0,
    then: (_c, { stdout, messages }) =>
      assert.deepEqual(
        [messages[0], stdout.length],
        ['info Generating images list for version [v1.20.15-rancher2-1]:', 31],
      ),
  },
  {
    log: '03-configprint',
    fact: 'asks where the key is, and takes an end of input for EOF',
    argv: ['config', '--print'],
    code: 1,
    then: (_c, { stdout }) =>
      assert.match(
        stdout.join(''),
        /^\[\+\] Cluster Level SSH Private Key Path \[~\/\.ssh\/id_rsa\]: time=.* level=fatal msg=EOF$/,
      ),
  },
  {
    log: 'config-empty',
    fact: 'writes an empty file with mode 0640 and says nothing',
    argv: ['config', '--empty', '--name', 'foo.yml'],
    code: 0,
    then: (cluster, { stdout }) => {
      const file = cluster.files.get(`${CWD}/foo.yml`);
      assert.deepEqual([stdout, file?.kind === 'file' && file.mode], [[], 0o640]);
    },
  },
  {
    log: 'up-help',
    fact: 'lists the flags of up',
    argv: ['up', '--help'],
    code: 0,
    then: (_c, { stdout }) => {
      for (const flag of [
        'config',
        'local',
        'update-only',
        'disable-port-check',
        'init',
        'cert-dir',
        'custom-certs',
        'ssh-agent-auth',
        'ignore-docker-version',
      ])
        assert.ok(stdout.join('\n').includes(`--${flag}`), flag);
    },
  },
  {
    log: '10-missing',
    fact: 'names the absolute path of a file that is not there',
    argv: ['up', '--config', 'none.yml'],
    code: 1,
    last: `fatal Failed to resolve cluster file: can not find cluster configuration file: open ${CWD}/none.yml: no such file or directory`,
  },
  {
    log: 'snapshot-missing',
    fact: 'says it with a small f for snapshots',
    argv: ['etcd', 'snapshot-save', '--config', 'none.yml'],
    code: 1,
    last: /^fatal failed to resolve cluster file: /,
  },
  {
    log: 'getstate-missing',
    fact: 'has no version line when it fetches a state',
    argv: ['util', 'get-state-file', '--config', 'none.yml'],
    code: 1,
    last: /^fatal failed to resolve cluster file: /,
    not: [/Running RKE version/],
    then: (_c, { messages }) => assert.equal(messages[0], 'info Retrieving state file from cluster'),
  },
  {
    log: 'version-nokubeconfig',
    fact: 'needs a kubeconfig for its version of the server',
    argv: ['version', '--config', 'none.yml'],
    code: 1,
    last: 'fatal Failed to create Kubernetes Client: stat ./kube_config_none.yml: no such file or directory',
  },
];

const CONFIG: Fact[] = [
  badConfig(
    '21-badyaml',
    'broken YAML',
    'nodes:\n  - role: [etcd\n',
    /^fatal Failed to parse cluster file: error unmarshalling: error converting YAML to JSON: yaml: line \d: did not find expected ',' or ']'$/,
  ),
  badConfig(
    '21e',
    'a number of nodes',
    'nodes: 5\n',
    'Failed to parse cluster file: yaml: unmarshal errors:\\n  line 1: cannot unmarshal !!int `5` into []types.RKEConfigNode',
  ),
  badConfig(
    '21g',
    'a role that is no list',
    'nodes:\n- address: a\n  user: u\n  role: worker\n',
    'Failed to parse cluster file: yaml: unmarshal errors:\\n  line 4: cannot unmarshal !!str `worker` into []string',
  ),
  badConfig(
    '22-unknownrole',
    'an unknown role',
    node('', '[boss]'),
    'Failed to classify hosts from config file: Failed to recognize host [127.0.0.2] role boss',
  ),
  badConfig(
    '22b',
    'a role in capitals',
    node('', '[Worker]'),
    'Failed to classify hosts from config file: Failed to recognize host [127.0.0.2] role Worker',
  ),
  badConfig(
    '23-emptyrole',
    'an empty list of roles',
    node('', '[]'),
    'Failed to validate cluster: Role for host (1) is not provided',
  ),
  badConfig(
    '23b',
    'no roles at all',
    'nodes:\n- address: 127.0.0.2\n  user: u\n',
    'Failed to validate cluster: Role for host (1) is not provided',
  ),
  badConfig(
    '27-dupaddr',
    'an address that is there twice',
    node('- address: 127.0.0.2\n  user: u\n  role: [worker]\n'),
    "Failed to validate cluster: Cluster can't have duplicate node: 127.0.0.2",
  ),
  badConfig(
    '27b',
    'a name that is there twice',
    `${node('  hostname_override: h1\n')}- address: 127.0.0.3\n  hostname_override: h1\n  user: u\n  role: [worker]\n`,
    "Failed to validate cluster: Cluster can't have duplicate node: h1",
  ),
  badConfig(
    '27c',
    'a name that is an address of another',
    `${node('')}- address: 127.0.0.3\n  hostname_override: 127.0.0.2\n  user: u\n  role: [worker]\n`,
    "Failed to validate cluster: Cluster can't have duplicate node: 127.0.0.2",
  ),
  badConfig(
    '28-nouser',
    'no user',
    'nodes:\n- address: 127.0.0.2\n  role: [etcd]\n',
    'Failed to validate cluster: User for host (1) is not provided',
  ),
  badConfig(
    '28b',
    'no address',
    'nodes:\n- user: u\n  role: [etcd]\n',
    'Failed to validate cluster: Address for host (1) is not provided',
  ),
  badConfig(
    '35-badversion',
    'a version that it does not know',
    node('kubernetes_version: v9.9.9-rancher1-1\n'),
    'Failed to validate cluster: v9.9.9-rancher1-1 is an unsupported Kubernetes version and system images are not populated: etcd image is not populated',
  ),
  badConfig(
    '35b',
    'a version that is none',
    node('kubernetes_version: banana\n'),
    'banana is not in dotted-tri format',
  ),
  badConfig(
    '36-badplugin',
    'a network that it does not know',
    node('network: {plugin: foo}\n'),
    'Failed to validate cluster: Network plugin [foo] is not supported',
  ),
  {
    log: '28c',
    fact: 'lower-cases a name before it refuses it',
    arrange: write(node('  hostname_override: Node_A\n')),
    code: 1,
    last: /^fatal Failed to validate cluster: Hostname_override \[node_a\] for host \(1\) is not valid: \[a lowercase RFC 1123 subdomain/,
  },
  {
    log: '21d',
    fact: 'takes unknown top-level keys silently',
    arrange: edit(/$/, '\nfrobnicate: yes\n'),
    code: 0,
    last: FINISHED,
    not: [/frobnicate/],
  },
  {
    log: '21f',
    fact: 'takes the last of two equal keys silently',
    arrange: edit(/$/, '\ncluster_name: other\n'),
    code: 0,
    last: FINISHED,
    then: (cluster) => assert.match(cluster.text('cluster.rkestate'), /"clusterName": "other"/),
  },
  {
    log: '27d',
    fact: 'takes the same inner address twice silently',
    fresh: true,
    arrange: edit(
      /hostname_override: home-n([23])/g,
      'hostname_override: home-n$1\n      internal_address: 172.16.0.9',
    ),
    code: 0,
    last: FINISHED,
  },
  {
    log: '20',
    fact: 'takes an empty file, and finds out late that it needs etcd',
    fresh: true,
    arrange: write(''),
    code: 1,
    last: `fatal ${NO_ETCD}please specify one or more etcd in cluster config`,
    says: [
      'info Successfully Deployed state file at [./cluster.rkestate]',
      'info Building Kubernetes cluster',
    ],
  },
  {
    log: '26',
    fact: 'takes a file without nodes likewise',
    fresh: true,
    arrange: write('cluster_name: x\n'),
    code: 1,
    last: `fatal ${NO_ETCD}please specify one or more etcd in cluster config`,
  },
];

const PLANES: Fact[] = [
  {
    log: '74-nocp-full',
    fact: 'fails late without a control plane on a fresh cluster: state written, no kubeconfig',
    shape: ONE,
    fresh: true,
    arrange: edit('[controlplane, etcd, worker]', '[etcd, worker]'),
    code: 1,
    last: 'fatal failed to initialize new kubernetes client: stat ./kube_config_cluster.yml: no such file or directory',
    says: ['info [reconcile] This is newly generated cluster'],
    then: (cluster) =>
      assert.deepEqual([cluster.state().currentState, cluster.text('kube_config_cluster.yml')], [{}, '']),
  },
  {
    log: '88',
    fact: 'tears the control plane of a live cluster down when the file has none, and then fails',
    arrange: edit('[controlplane, etcd, worker]', '[etcd, worker]'),
    code: 1,
    last: /^fatal Failed to delete controlplane node \[{0}\] from cluster: Get "https:\/\/{0}:\d+\/api\/v1\/nodes": dial tcp .*: connect: connection refused$/,
    says: ['info [reconcile] Deleting all current controlplane nodes, skipping deleting from k8s cluster'],
    then: (cluster) => assert.equal(cluster.machine(0).containers.has('kube-apiserver'), false),
  },
  {
    log: '82-etcd-replaced',
    fact: 'stops when every etcd host is another; the old file works again',
    shape: three(['worker']),
    arrange: inTurn(
      edit('role: [controlplane, etcd, worker]', 'role: [controlplane, worker]'),
      edit('      - etcd\n', ''),
      edit('role: [worker]', 'role: [etcd, worker]'),
    ),
    code: 1,
    last: 'fatal Failed to reconcile etcd plane: Etcd plane nodes are replaced. Stopping provisioning. Please restore your cluster from backup.',
    then: async (cluster) => {
      assert.equal(current(cluster).length, 3);
      cluster.put('cluster.yml', cluster.example.clusterYml);
      assert.equal((await cluster.up()).naive, true);
    },
  },
];

const HOSTS: Fact[] = [
  login(
    '33-refused',
    'the port is closed, and neither SSH nor the refusal is named',
    "Can't retrieve Docker Info: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    { arrange: edit('"2222"', '"2223"') },
  ),
  login(
    '38c',
    'the host is off',
    `${DOCKER}Failed to dial ssh using address [{0}:2222]: dial tcp {0}:2222: connect: no route to host`,
    { arrange: off(0) },
  ),
  login(
    '33c-nohost',
    'the name is not found',
    `${DOCKER}Failed to dial ssh using address [nosuch.invalid:2222]: dial tcp: lookup nosuch.invalid`,
    {
      arrange: (cluster: TestCluster) =>
        edit(new RegExp(`address: ${addresses(cluster)[0] ?? ''}`), 'address: nosuch.invalid')(cluster),
      says: [
        /^warning Failed to set up SSH tunneling for host \[nosuch\.invalid\]: .*Failed to dial ssh using address \[nosuch\.invalid:2222\]: dial tcp: lookup nosuch\.invalid.*: no such host$/,
      ],
    },
  ),
  login(
    '34-nodocker',
    'there is no Docker socket',
    `${DOCKER}Unable to access the service on /var/run/docker.sock. The service might be still starting up. Error: ssh: rejected: connect failed (open failed)`,
    { arrange: (cluster: TestCluster) => (cluster.machine(0).dockerVersion = '') },
  ),
  login(
    '29-badkeypath',
    'the key file is not there',
    `Can't establish dialer connection: Error while reading SSH key file: open ${KEY}: no such file or directory`,
    { argv: ['up'] },
  ),
  login('31-garbagekey', 'the key file is junk', NO_KEY, { argv: ['up'], arrange: key('junk\n') }),
  login('39', 'the key file is empty', NO_KEY, { argv: ['up'], arrange: key('') }),
  login('39b', 'ssh_agent_auth without an agent', NO_KEY, { more: { agentKeys: undefined } }),
  login(
    '32-unauth',
    'the key is not authorised',
    `${DOCKER}Unable to access node with address [{0}:2222] using SSH. Please check if you are able to SSH to the node using the specified SSH Private Key and if you have configured the correct SSH username. Error: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain`,
    { more: { agentKeys: ['ssh-ed25519 AAAAother'] } },
  ),
  login(
    '29b',
    'a good RSA key, which sshd no longer takes',
    `${DOCKER}Unable to access node with address [{0}:2222] using SSH. Please check if you are able to SSH to the node using the specified SSH Private Key and if you have configured the correct SSH username. Error: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain`,
    {
      arrange: (cluster: TestCluster) => cluster.machine(0).authorizedKeys.push('ssh-rsa AAAAgood'),
      more: { agentKeys: ['ssh-rsa AAAAgood'] },
    },
  ),
  {
    log: 'state-there',
    fact: 'says it otherwise when a state file is there, an empty one too',
    shape: ONE,
    fresh: true,
    arrange: inTurn(off(0), state('')),
    code: 1,
    last: `fatal ${NO_ETCD}failed to connect to the following etcd host(s) [{0}]`,
    not: [/legacy cluster state/],
  },
  {
    log: '38',
    fact: 'hangs for ever on a host that takes TCP and stays silent',
    shape: ONE,
    arrange: (cluster: TestCluster) => (cluster.machine(0).ssh = 'silent'),
    code: undefined,
    last: 'info [dialer] Setup tunnel for host [{0}]',
  },
  {
    log: '79',
    fact: 'notices no changed host key',
    arrange: (cluster: TestCluster) =>
      (cluster.machine(1).sshHostKey = { private: '', public: 'ssh-ed25519 AAAAother' }),
    code: 0,
    last: FINISHED,
    not: [/^warning/, /host key/i],
  },
  {
    log: '37-unsupported',
    fact: 'ends on a Docker that it does not support, after a warning',
    shape: ONE,
    fresh: true,
    arrange: (cluster: TestCluster) => (cluster.machine(0).dockerVersion = '28.2.2'),
    code: 1,
    last: 'fatal Unsupported Docker version found [28.2.2] on host [{0}], supported versions are [1.13.x 17.03.x 17.06.x 17.09.x 18.06.x 18.09.x 19.03.x 20.10.x]',
    says: [/^warning \[state\] can't fetch legacy cluster state from Kubernetes: Unsupported Docker version/],
  },
  {
    log: '37b',
    fact: 'ignores ignore_docker_version in the file',
    shape: ONE,
    fresh: true,
    arrange: inTurn(
      (cluster) => (cluster.machine(0).dockerVersion = '28.2.2'),
      edit(/$/, '\nignore_docker_version: true\n'),
    ),
    code: 1,
    last: /^fatal Unsupported Docker version/,
  },
  {
    log: '37c',
    fact: 'heeds the flag',
    shape: ONE,
    fresh: true,
    arrange: (cluster: TestCluster) => (cluster.machine(0).dockerVersion = '28.2.2'),
    argv: ['up', '--ssh-agent-auth', '--ignore-docker-version'],
    code: 0,
    last: FINISHED,
  },
];

const FILES: Fact[] = [
  {
    log: '53',
    fact: 'creates its state with mode 0600, twice written',
    shape: ONE,
    fresh: true,
    code: 0,
    last: FINISHED,
    then: (cluster, { messages }) => {
      const file = cluster.files.get(`${CWD}/cluster.rkestate`);
      assert.equal(file?.kind === 'file' && file.mode, 0o600);
      assert.equal(
        messages.filter((line) => line === 'info Successfully Deployed state file at [./cluster.rkestate]')
          .length,
        2,
      );
      assert.match(cluster.text('cluster.rkestate'), /^{\n {2}"desiredState": {\n {4}"rkeConfig": {\n/);
    },
  },
  {
    log: '54-mode',
    fact: 'leaves the mode of a state that is there',
    arrange: (cluster: TestCluster) =>
      cluster.put('cluster.rkestate', cluster.text('cluster.rkestate'), 0o644),
    code: 0,
    then: (cluster) => {
      const file = cluster.files.get(`${CWD}/cluster.rkestate`);
      assert.equal(file?.kind === 'file' && file.mode, 0o644);
    },
  },
  {
    log: '73i',
    fact: 'names its files after --config, and prints them as given',
    argv: ['up', '--ssh-agent-auth', '--config', './my.cluster.yaml'],
    arrange: (cluster: TestCluster) => {
      cluster.put('my.cluster.yaml', cluster.text('cluster.yml'));
      cluster.put('my.cluster.rkestate', cluster.text('cluster.rkestate'));
    },
    code: 0,
    says: [
      'info Successfully Deployed state file at [./my.cluster.rkestate]',
      'info Successfully Deployed local admin kubeconfig at [./kube_config_my.cluster.yaml]',
    ],
  },
  {
    log: '73i-absolute',
    fact: 'prints an absolute path absolutely',
    argv: ['up', '--ssh-agent-auth', '--config', `${CWD}/cluster.yml`],
    code: 0,
    says: [`info Successfully Deployed state file at [${CWD}/cluster.rkestate]`],
  },
  {
    log: 'kubeconfig',
    fact: 'writes the kubeconfig before it reconciles',
    shape: ONE,
    fresh: true,
    code: 0,
    then: (_c, { messages }) => {
      const at = (text: string) => messages.findIndex((line) => line.includes(text));
      assert.ok(
        at('Deployed local admin kubeconfig') > 0 &&
          at('Deployed local admin kubeconfig') < at('[reconcile] Reconciling cluster state'),
      );
    },
  },
  ...(
    [
      ['73a', 'an empty state', ''],
      ['73c', 'a state of junk', 'not json'],
      ['72', 'a truncated state', '{"desiredState": {"rkeConfig": {"no'],
    ] as const
  ).map(([log, fact, text]): Fact => ({
    log,
    fact: `takes ${fact} over a live cluster for none: a new CA on its nodes, then an unhealthy etcd`,
    arrange: state(text),
    code: 1,
    last: /^fatal \[etcd\] Failed to bring up Etcd Plane: etcd cluster is unhealthy: hosts \[{0}\] failed to report healthy\. Check etcd container logs on each host for more information$/,
    says: ['info [reconcile] This is newly generated cluster'],
    not: [/^warning \[state\]/],
  })),
  {
    log: '73b',
    fact: 'ends on a state of {} and leaves it',
    arrange: state('{}'),
    code: 1,
    last: 'fatal CA Certificate or Key is empty',
    then: (cluster) => assert.equal(cluster.text('cluster.rkestate'), '{}'),
  },
  {
    log: '73d',
    fact: 'cannot write over a folder',
    arrange: (cluster: TestCluster) => cluster.files.set(`${CWD}/cluster.rkestate`, { kind: 'directory' }),
    code: 1,
    last: 'fatal Failed to write state file: open ./cluster.rkestate: is a directory',
  },
  {
    log: '85',
    fact: 'takes a lost state beside a kubeconfig for an old cluster and gives up',
    arrange: noState,
    code: 1,
    last: 'fatal Failed to fetch cluster certs from nodes, aborting upgrade: Certificate /etc/kubernetes/.tmp/kube-apiserver.pem is not found',
    says: [
      'info [state] Possible legacy cluster detected, trying to upgrade',
      /Timed out waiting for kubernetes cluster to get state/,
    ],
    then: (cluster) => assert.equal(cluster.text('cluster.rkestate'), ''),
  },
  {
    log: '86c-getstate-overwrite',
    fact: 'fetches the state by the kubeconfig and moves the old one aside',
    arrange: state('junk'),
    argv: ['util', 'get-state-file', '--ssh-agent-auth'],
    code: 0,
    last: 'info Successfully Deployed state file at [./cluster.rkestate]',
    says: [
      /^info Successfully connected to server using kubeconfig, retrieved server version/,
      /^info Moved file \[\.\/cluster\.rkestate\] to new location \[\.\/rkestate\d+\] as back-up$/,
    ],
  },
  {
    log: '86d-snapshot',
    fact: 'saves a snapshot on the etcd hosts',
    argv: ['etcd', 'snapshot-save', '--name', 's1', '--ssh-agent-auth'],
    code: 0,
    last: 'info Finished saving/uploading snapshot [s1] on all etcd hosts',
    says: ['info Starting saving snapshot on etcd hosts'],
  },
  {
    log: '86-snapshot',
    fact: 'gives up on a snapshot that does not end',
    arrange: (cluster: TestCluster) => (cluster.around.faults = { snapshotHangs: true }),
    argv: ['etcd', 'snapshot-save', '--name', 's1', '--ssh-agent-auth'],
    code: 1,
    last: /^fatal Container \[etcd-snapshot-once\] did not exit in time on host \[{0}\]: stderr: \[\], stdout: \[/,
  },
];

const CHANGES: Fact[] = [
  {
    log: '53-single-full',
    fact: 'builds a cluster from nothing',
    shape: ONE,
    fresh: true,
    code: 0,
    last: FINISHED,
    says: [
      'info [reconcile] This is newly generated cluster',
      'info [network] Deploying port listener containers',
    ],
  },
  {
    log: '54-idempotent',
    fact: 'changes nothing when nothing differs',
    code: 0,
    last: FINISHED,
    says: [
      'info [network] No hosts added existing cluster, skipping port check',
      /^info Upgrade not required for controlplane and worker components of host/,
    ],
    not: [/Renaming container/, /^warning/],
  },
  {
    log: '55-addworker',
    fact: 'adds a worker with port checks',
    arrange: inTurn(without(2), up, (cluster) => cluster.put('cluster.yml', cluster.example.clusterYml)),
    code: 0,
    last: FINISHED,
    says: [
      'info [network] Running workers -> control plane port checks',
      'info [workerplane] Processing host {2}',
    ],
  },
  {
    log: '56-add-etcd-cp',
    fact: 'makes etcd and the apiservers of the others anew when a server joins',
    shape: SERVERS,
    arrange: inTurn(without(2), up, (cluster) => cluster.put('cluster.yml', cluster.example.clusterYml)),
    code: 0,
    last: FINISHED,
    says: [
      'info [add/etcd] Adding member [etcd-home-n3] to etcd cluster',
      'info Renaming container [etcd] to [old-etcd] on host [{0}], try #1',
      'info Renaming container [kube-apiserver] to [old-kube-apiserver] on host [{0}], try #1',
    ],
  },
  {
    log: '57-addrole-etcd',
    fact: 'adds a member when a node gets the role',
    shape: three(['worker']),
    arrange: edit('role: [worker]', 'role: [etcd, worker]'),
    code: 0,
    last: FINISHED,
    says: ['info [add/etcd] Adding member [etcd-home-n3] to etcd cluster'],
  },
  {
    log: '83b-delrole-worker',
    fact: 'keeps the node that loses worker, and puts a taint on it',
    shape: three(['controlplane', 'worker']),
    arrange: edit('role: [controlplane, worker]', 'role: [controlplane]'),
    code: 0,
    last: FINISHED,
    says: [
      'info [hosts] host [{2}] has another role, skipping delete from kubernetes cluster',
      'info [worker] Host [{2}] is already a controlplane host, nothing to do.',
    ],
    then: (cluster) =>
      assert.ok(
        cluster.world.kube.store
          .get('nodes', 'home-n3')
          ?.spec.taints?.some(
            ({ key: name, effect }) =>
              name === 'node-role.kubernetes.io/controlplane' && effect === 'NoSchedule',
          ),
      ),
  },
  {
    log: '65-remove-reachable-etcd',
    fact: 'removes a reachable member whole: member, Node, containers, certificate',
    shape: SERVERS,
    arrange: without(2),
    code: 0,
    last: FINISHED,
    says: [
      'info [remove/etcd] Removing member [etcd-home-n3] from etcd cluster',
      'info [hosts] Cordoning host [{2}]',
      'info [hosts] Successfully deleted host [{2}] from the cluster',
      'info [hosts] Successfully cleaned up host [{2}]',
      /^info \[certificates\] Deleting unused certificate: kube-etcd-/,
    ],
    not: [/drain/i, /^warning/],
    then: (cluster) => assert.deepEqual([...cluster.machine(2).containers.keys()], []),
  },
  {
    log: '61-remove-down-direct',
    fact: 'only warns when a dead node that was removed cannot be cleaned up; its containers run on',
    shape: three(['etcd', 'worker']),
    arrange: inTurn(off(2), without(2)),
    code: 0,
    last: FINISHED,
    says: [
      /^warning \[reconcile\] Couldn't clean up etcd node \[{2}\]: Not able to reach the host: Can't retrieve Docker Info: .*no route to host$/,
      /^warning \[reconcile\] Couldn't clean up worker node \[{2}\]: Not able to reach the host/,
    ],
    then: async (cluster, { messages }) => {
      assert.equal(
        messages.filter(
          (line) => line === `info [dialer] Setup tunnel for host [${addresses(cluster)[2] ?? ''}]`,
        ).length,
        6,
        'three tries a role',
      );
      assert.equal((await cluster.members()).length, 2);
      assert.ok(cluster.machine(2).containers.has('kubelet'));
    },
  },
  {
    log: '62-remove-down-cp',
    fact: 'only warns for a dead control plane',
    shape: three(['controlplane']),
    arrange: inTurn(off(2), without(2)),
    code: 0,
    last: FINISHED,
    says: [
      /^warning \[reconcile\] Couldn't clean up controlplane node \[{2}\]: Not able to reach the host: /,
    ],
    then: (cluster) => assert.ok(!cluster.nodes().includes('home-n3')),
  },
  {
    log: '58',
    fact: 'fails with a dead worker in the file, and has taken it out of currentState by then',
    shape: three(['etcd', 'worker']),
    arrange: off(2),
    code: 1,
    last: 'fatal cannot proceed with upgrade of worker since 1 host(s) cannot be reached prior to upgrade',
    then: (cluster) => assert.deepEqual(current(cluster), addresses(cluster).slice(0, 2)),
  },
  {
    log: '64-cp-down-in-config',
    fact: 'fails with a dead control plane in the file and leaves currentState',
    shape: SERVERS,
    arrange: off(2),
    code: 1,
    last: 'fatal cannot proceed with upgrade of controlplane since 1 host(s) cannot be reached prior to upgrade',
    then: (cluster) => assert.equal(current(cluster).length, 3),
  },
  {
    log: '67',
    fact: 'goes to the end with max_unavailable_worker and fails there',
    arrange: inTurn(off(2), edit('max_unavailable_worker: "10%"', 'max_unavailable_worker: "2"')),
    code: 1,
    last: 'fatal Provisioning incomplete, host(s) [{2}] skipped because they could not be contacted',
    then: (cluster) => assert.equal(current(cluster).length, 2),
  },
  {
    log: '59',
    fact: 'removes nothing, and says that all is well, when the dead node goes after such a failure',
    shape: three(['etcd', 'worker']),
    arrange: inTurn(off(2), up, without(2)),
    code: 0,
    last: FINISHED,
    not: [/^warning/, /\[remove\/etcd\] Removing member/],
    then: async (cluster) => {
      assert.ok((await cluster.members()).includes(addresses(cluster)[2] ?? ''));
      assert.ok(cluster.nodes().includes('home-n3'));
    },
  },
  {
    log: '66',
    fact: 'succeeds on its first run ever with a dead worker in the file, which is then nowhere',
    fresh: true,
    arrange: off(2),
    code: 0,
    last: FINISHED,
    not: [/Provisioning incomplete/],
    then: (cluster, { messages }) => {
      assert.equal(
        messages.filter(
          (line) => line.startsWith('warning Failed to set up') || line.startsWith('warning Removing host'),
        ).length,
        2,
      );
      assert.ok(!cluster.text('cluster.rkestate').includes(`"${addresses(cluster)[2] ?? ''}"`));
    },
  },
  {
    log: '60-readd',
    fact: 'takes a node back whose member is still listed',
    shape: three(['etcd', 'worker']),
    arrange: inTurn(off(2), up, (cluster) => cluster.world.hosts.powerOn(cluster.machine(2).vmId)),
    code: 0,
    last: FINISHED,
    says: [/^info \[etcd\] member \[{2}\] is already part of the etcd cluster$/],
  },
  {
    log: '84',
    fact: 'leaves the old Node behind when a name changes',
    arrange: edit('hostname_override: home-n2', 'hostname_override: home-x'),
    code: 0,
    last: FINISHED,
    then: (cluster) => assert.deepEqual(cluster.nodes(), ['home-n1', 'home-n2', 'home-n3', 'home-x']),
  },
];

const SIGNALS: Fact[] = [
  {
    log: '70b-sigterm-ctl',
    fact: 'dies without a word in the middle, with its first state written; another run repairs it',
    code: undefined,
    says: ['info Successfully Deployed state file at [./cluster.rkestate]'],
    not: [/^fatal/],
    then: async (cluster) => {
      assert.equal(current(cluster).length, 3);
      assert.equal((await cluster.up()).naive, true);
    },
  },
  {
    log: '70e',
    fact: 'leaves its port listeners on the nodes when it is killed there',
    fresh: true,
    code: undefined,
    then: (cluster) =>
      assert.ok(
        ['rke-etcd-port-listener', 'rke-cp-port-listener', 'rke-worker-port-listener'].every((name) =>
          cluster.machine(0).containers.has(name),
        ),
        'the listeners run on',
      ),
  },
];
const KILLED_AT: Record<string, string> = {
  '70b-sigterm-ctl': 'Deploying kubernetes certificates',
  '70e': 'Port listener containers deployed successfully',
  '38': '[dialer] Setup tunnel',
};

const fill = (cluster: TestCluster, text: string) =>
  text.replace(/\{(\d)\}/g, (_all, n: string) => addresses(cluster)[Number(n)] ?? '');
const matcher = (cluster: TestCluster, wanted: string | RegExp) =>
  typeof wanted === 'string'
    ? (line: string) => line === fill(cluster, wanted)
    : (line: string) => new RegExp(fill(cluster, wanted.source), wanted.flags).test(line);

async function prove(fact: Fact): Promise<void> {
  const cluster = await testCluster(fact.shape ?? SMALL, { established: fact.fresh !== true, pace: 0.01 });
  try {
    await fact.arrange?.(cluster);
    const killed = new AbortController();
    const at = KILLED_AT[fact.log];
    const outcome = await cluster.run(fact.argv ?? ['up', '--ssh-agent-auth'], {
      ...fact.more,
      ...(at === undefined
        ? {}
        : {
            signal: killed.signal,
            onLine: (line: string) => {
              if (line.includes(at)) killed.abort();
            },
          }),
    });
    const shown = outcome.messages.slice(-12).join('\n');
    assert.equal(outcome.code, fact.code, shown);
    if (fact.last !== undefined) assert.ok(matcher(cluster, fact.last)(outcome.messages.at(-1) ?? ''), shown);
    for (const wanted of fact.says ?? [])
      assert.ok(
        outcome.messages.some(matcher(cluster, wanted)),
        `${String(wanted)} is not in:\n${outcome.messages.join('\n')}`,
      );
    for (const unwanted of fact.not ?? []) {
      const found = outcome.messages.find(matcher(cluster, unwanted));
      assert.equal(found, undefined, `${String(unwanted)}: ${found ?? ''}`);
    }
    await fact.then?.(cluster, outcome);
  } finally {
    await cluster.close();
  }
}

describe('the lab’s rke behaves as the real one was seen to', function () {
  this.timeout(30_000);
  for (const [what, facts] of Object.entries({ COMMANDS, CONFIG, PLANES, HOSTS, FILES, CHANGES, SIGNALS }))
    describe(what.toLowerCase(), () => {
      for (const fact of facts) it(`${fact.fact} (${fact.log})`, () => prove(fact));
    });
});
