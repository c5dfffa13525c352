import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { outdated } from '../../../../cycle/cluster/rke/backups.ts';
import { differsFromState, nodeChanges, parseClusterYml } from '../../../../cycle/cluster/rke/cluster-yml.ts';
import {
  judgeVersion,
  rkeDefaultKubernetes,
  rkeFiles,
  rkeUp,
  rkeVersion,
} from '../../../../cycle/cluster/rke/driver.ts';
import type { RkeUpRequest } from '../../../../cycle/cluster/rke/driver.ts';
import { startSshAgent } from '../../../../cycle/cluster/rke/ssh-agent.ts';
import {
  compareStates,
  etcdTarget,
  kubeTarget,
  missingFromState,
  mustReadState,
  readState,
} from '../../../../cycle/cluster/rke/state.ts';
import { clock } from '../../../../ports/clock.ts';
import { CodedError } from '../../../../ports/errors.ts';
import { files } from '../../../../ports/files.ts';
import { random } from '../../../../ports/random.ts';
import { run } from '../../../../ports/run.ts';
import { Secret } from '../../../../ports/secret.ts';

let dir: string;
let pem: string;
const WAIT = { deadlineMs: 5_000 };
const code = (wanted: string) => (error: unknown) => error instanceof CodedError && error.code === wanted;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'ncr-'));
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '9',
      '-subj',
      '/CN=kube-ca',
      '-keyout',
      join(dir, 'k'),
      '-out',
      join(dir, 'c'),
    ],
    { stdio: 'ignore' },
  );
  pem = readFileSync(join(dir, 'c'), 'utf8');
});
after(() => rmSync(dir, { recursive: true, force: true }));

const NODES = [
  {
    address: '10.0.0.1',
    port: '22',
    internalAddress: '10.1.0.1',
    role: ['controlplane', 'etcd'],
    hostnameOverride: 'n1',
    user: 'rke',
  },
  {
    address: '10.0.0.2',
    port: '22',
    internalAddress: '10.1.0.2',
    role: ['worker'],
    hostnameOverride: 'n2',
    user: 'rke',
  },
];
const ADMIN = `
current-context: local
contexts: [{name: local, context: {cluster: local, user: admin}}]
clusters: [{name: local, cluster: {server: "https://10.0.0.9:6443"}}]
users: [{name: admin, user: {token: t}}]
`;

interface StatePart {
  rkeConfig: { nodes: { role: string[] }[] };
  certificatesBundle: Record<string, unknown>;
}

interface StateText {
  desiredState: StatePart;
  currentState: Partial<StatePart>;
}

function stateText(change: (state: StateText) => void = () => undefined): string {
  const part = () => ({
    rkeConfig: {
      nodes: structuredClone(NODES),
      services: {
        etcd: { extraArgs: { 'election-timeout': '5000' }, snapshot: true },
        kubelet: { extraArgs: { 'max-pods': '200' } },
        kubeApi: { extraEnv: ['RKE_AUDITLOG_CONFIG_CHECKSUM=x'] },
      },
      network: { plugin: 'canal', options: { canal_iface: 'eth0' } },
      authentication: { strategy: 'x509', sans: ['cp.home'] },
      kubernetesVersion: 'v1.20.15-rancher2-1',
      clusterName: 'home',
    },
    certificatesBundle: {
      'kube-ca': { certificatePEM: pem, keyPEM: 'K' },
      'kube-node': { certificatePEM: pem, keyPEM: 'NK' },
      'kube-admin': { certificatePEM: pem, config: ADMIN },
    },
  });
  const state = { desiredState: part(), currentState: part() };
  change(state);
  return JSON.stringify(state, null, 2);
}

describe('the state file of rke', () => {
  it('is read with nodes, roles, CA, certificates and the first expiry', () => {
    const state = mustReadState(stateText(), 'cluster.rkestate');
    assert.deepEqual(
      state.current.nodes.map((node) => [node.hostnameOverride, node.roles]),
      [
        ['n1', ['controlplane', 'etcd']],
        ['n2', ['worker']],
      ],
    );
    assert.match(state.caSha256, /^[0-9a-f]{64}$/);
    assert.ok((state.firstExpiry?.atMs ?? 0) > Date.now());
    assert.deepEqual(etcdTarget(state).endpoints, ['https://10.1.0.1:2379']);
    assert.equal(etcdTarget(state).key?.reveal(), 'NK');
    assert.deepEqual(kubeTarget(state).servers, ['https://10.0.0.1:6443']);
    assert.doesNotMatch(JSON.stringify([...state.certificates.values()]), /NK|"K"/);
  });

  const broken: [string, () => string, string][] = [
    ['an empty file', () => '', 'empty'],
    ['junk', () => 'not a state', 'notJson'],
    ['a truncated file', () => stateText().slice(0, 400), 'truncated'],
    ['an empty object', () => '{}', 'emptyObject'],
    ['another shape', () => '{"desiredState": {"rkeConfig": {"nodes": 5}}, "currentState": {}}', 'shape'],
    [
      'a state without CA',
      () =>
        stateText((state) => Object.assign(state.currentState.certificatesBundle ?? {}, { 'kube-ca': {} })),
      'noCa',
    ],
  ];
  for (const [what, text, problem] of broken) {
    it(`is refused when it is ${what}, which rke would take for a new cluster`, () => {
      const reading = readState(text());
      assert.equal(reading.ok || reading.problem, problem);
      assert.throws(() => mustReadState(text(), 'x'), code('NC3210'));
    });
  }

  it('is known when no run was ever finished', () => {
    const reading = readState(stateText((state) => void (state.currentState = {})));
    assert.ok(reading.ok && reading.neverFinished && reading.state.current.nodes.length === 0);
  });

  it("is compared with the cluster's copy: CA, nodes, roles", () => {
    const local = mustReadState(stateText(), 'a');
    assert.deepEqual(compareStates(local, mustReadState(stateText(), 'b')), []);
    const copy = mustReadState(
      stateText((state) => {
        Object.assign(state.currentState.rkeConfig?.nodes[1] ?? {}, { role: ['worker', 'etcd'] });
      }),
      'b',
    );
    assert.match(
      compareStates(local, { ...copy, caSha256: 'x' })
        .map((one) => one.message)
        .join(),
      /authorities differ.*10\.0\.0\.2 differs/,
    );
  });

  it('shows what the cluster has and it lacks', () => {
    const state = mustReadState(stateText(), 'a');
    const nodes = [{ name: 'n1' }, { name: 'renamed', address: '10.1.0.2' }];
    assert.deepEqual(missingFromState(state, { etcdMembers: ['etcd-n1'], nodes }), []);
    const found = missingFromState(state, {
      etcdMembers: ['etcd-n1', 'etcd-n2'],
      nodes: [...nodes, { name: 'n7', address: '10.1.0.7' }],
    });
    assert.deepEqual(
      found.map((one) => one.evidence[0]),
      ['etcd-n2', 'n7'],
    );
  });
});

const YML = `nodes:
- {address: 10.0.0.1, internal_address: 10.1.0.1, hostname_override: n1, user: rke, role: [controlplane, etcd]}
- {address: 10.0.0.2, internal_address: 10.1.0.2, hostname_override: n2, user: rke, role: [worker]}
cluster_name: home
kubernetes_version: v1.20.15-rancher2-1
services:
  kubelet: {extra_args: {max-pods: 200}}
  kube-api: {pod_security_policy: false}
network: {plugin: canal, options: {canal_iface: eth0}}
authentication: {strategy: x509, sans: [cp.home]}
ssh_agent_auth: false
bastion_host: {}
`;

describe('what rke up would apply besides nodes', () => {
  const paths = (text: string) =>
    differsFromState(text, mustReadState(stateText(), 's')).map((one) => one.path);
  it('is nothing when the file is as it was', () => assert.deepEqual(paths(YML), []));

  const changes: [string, string, string, string][] = [
    ['a changed argument', 'max-pods: 200', 'max-pods: 110', 'services.kubelet.extra_args.max-pods'],
    ['a new argument', '{max-pods: 200}', '{max-pods: 200, v: 4}', 'services.kubelet.extra_args.v'],
    ['an argument that was taken out', '{max-pods: 200}', '{}', 'services.kubelet.extra_args.max-pods'],
    ['a new Kubernetes', 'v1.20.15', 'v1.21.0', 'kubernetes_version'],
    ['a lost SAN', 'sans: [cp.home]', 'sans: []', 'authentication.sans'],
    [
      'a switch',
      'pod_security_policy: false',
      'pod_security_policy: true',
      'services.kube-api.pod_security_policy',
    ],
    ['another network', 'plugin: canal', 'plugin: flannel', 'network.plugin'],
    ['new add-ons', 'cluster_name: home', 'cluster_name: home\naddons: |\n  a: b', 'addons'],
  ];
  for (const [what, from, to, path] of changes) {
    it(`is shown for ${what}`, () => assert.deepEqual(paths(YML.replace(from, to)), [path]));
  }

  it('and to nodes: added, removed, changed roles', () => {
    const yml = parseClusterYml(
      YML.replace('10.0.0.2', '10.0.0.3').replace('[controlplane, etcd]', '[controlplane, worker]'),
    );
    assert.deepEqual(nodeChanges(yml, mustReadState(stateText(), 's')), {
      added: ['10.0.0.3'],
      removed: ['10.0.0.2'],
      changed: [{ address: '10.0.0.1', adds: ['worker'], drops: ['etcd'] }],
      renamed: [],
      reordered: [],
    });
  });

  it('and to nodes: another name, another order of those that know each other', () => {
    const state = mustReadState(stateText(), 's');
    const [first, second] = state.current.nodes;
    assert.ok(first && second);
    const both = [first, { ...second, roles: first.roles }];
    const stated = { ...state, current: { ...state.current, nodes: both } };
    const nodes = both.map((node) => ({ ...node, labels: {}, taints: [], line: 1 }));
    const none = { added: [], removed: [], changed: [] };
    assert.deepEqual(nodeChanges({ nodes }, stated), { ...none, renamed: [], reordered: [] });
    assert.deepEqual(nodeChanges({ nodes: nodes.toReversed() }, stated).reordered, ['etcd', 'controlplane']);
    const other = nodes.map((node) => ({ ...node, hostnameOverride: 'other' }));
    assert.deepEqual(nodeChanges({ nodes: other }, stated).renamed[0], {
      address: first.address,
      key: 'hostname_override',
      file: 'other',
      state: first.hostnameOverride || first.address,
    });
  });
});

describe('running rke', () => {
  let workDir: string;
  let count = 0;
  const rke = (script: string) => {
    const path = join(workDir, 'rke');
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const line = (msg: string) => `echo 'time="2026-11-22T16:38:31Z" level=info msg="${msg}"'`;
  const FINISH = [
    'Running RKE version: v1.2.23',
    '[reconcile] Reconciling cluster state',
    'Finished building Kubernetes cluster successfully',
  ]
    .map(line)
    .join('; ');
  const request = (script: string, more: Partial<RkeUpRequest> = {}): RkeUpRequest => ({
    ports: { run, files, clock, random },
    binary: rke(script),
    workDir,
    configName: 'cluster.yml',
    sshAuthSock: '/s',
    expectation: { existingCluster: true },
    ...WAIT,
    ...more,
  });
  beforeEach(() => {
    count += 1;
    workDir = join(dir, `w${count}`);
    mkdirSync(workDir);
  });

  it('gives it its own environment and arguments, and judges what it says', async () => {
    const seen: string[] = [];
    const result = await rkeUp(
      request(`env | sort > env; echo "$@" > args; ${FINISH}`, { onLine: (one) => seen.push(one.message) }),
    );
    assert.equal(result.outcome.outcome, 'succeeded');
    assert.equal(seen.at(-1), 'Finished building Kubernetes cluster successfully');
    assert.equal(readFileSync(join(workDir, 'args'), 'utf8'), 'up --config cluster.yml --ssh-agent-auth\n');
    const names = readFileSync(join(workDir, 'env'), 'utf8')
      .split('\n')
      .map((one) => one.split('=')[0])
      .filter((one) => !['', '_', 'PWD', 'SHLVL', 'OLDPWD'].includes(one ?? ''));
    assert.deepEqual(names, ['HOME', 'PATH', 'SSH_AUTH_SOCK', 'TZ']);
  });

  it('saves the state before each run and keeps the newest', async () => {
    for (let i = 0; i < 4; i += 1) {
      writeFileSync(join(workDir, 'cluster.rkestate'), `state ${i}`);
      const result = await rkeUp(request(FINISH, { keepBackups: 2 }));
      assert.equal(readFileSync(result.backup ?? '', 'utf8'), `state ${i}`);
      await sleep(2);
    }
    assert.equal(readdirSync(join(workDir, 'backups')).length, 2);
  });

  it('ends saved states that are too old, but never the newest', () => {
    const day = (date: string) => `${date}T000000000Z-a1b2c3-cluster.rkestate`;
    const names = [day('20260101'), day('20260301'), day('20260305')];
    const nowMs = Date.UTC(2026, 2, 6);
    const maxAgeMs = 30 * 24 * 3_600_000;
    assert.deepEqual(outdated(names, nowMs, { maxAgeMs }), [day('20260101')]);
    assert.deepEqual(outdated(names, nowMs, { keep: 1 }), [day('20260301'), day('20260101')]);
    assert.deepEqual(outdated(names, Date.UTC(2027, 2, 6), {}), [day('20260301'), day('20260101')]);
  });

  it('runs one at a time, and leaves no lock behind when it is ended', async () => {
    const first = rkeUp(request('sleep 0.6; true'));
    await sleep(150);
    await assert.rejects(rkeUp({ ...request('sleep 0.6; true') }), code('NC3220'));
    await first;
    await assert.rejects(rkeUp(request('sleep 60', { deadlineMs: 150 })), code('NC3221'));
    assert.equal((await rkeUp(request(FINISH))).outcome.outcome, 'succeeded');
  });

  it('is cancelled, and says when it cannot be started', async () => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 80);
    await assert.rejects(rkeUp(request('sleep 60', { signal: abort.signal })), code('NC1012'));
    await assert.rejects(rkeUp({ ...request('true'), binary: join(workDir, 'none') }), code('NC3222'));
  });

  it('asks the program for its versions', async () => {
    const binary = rke(
      'case "$1" in --version) echo "rke version v1.2.23";; config) echo v1.20.15-rancher2-1;; esac',
    );
    assert.equal(await rkeVersion(run, binary, WAIT), 'v1.2.23');
    assert.equal(await rkeDefaultKubernetes(run, binary, WAIT), 'v1.20.15-rancher2-1');
    assert.deepEqual(
      ['v1.2.23', 'v1.6.3', 'v1.9.0', 'banana'].map((one) => judgeVersion(one).known),
      ['run', 'read', 'no', 'no'],
    );
  });

  it('names its files as rke does', () => {
    const places = rkeFiles({ workDir: '/s', configName: 'my.cluster.yaml' });
    assert.deepEqual(
      [places.state, places.kubeconfig],
      ['/s/my.cluster.rkestate', '/s/kube_config_my.cluster.yaml'],
    );
  });
});

describe('the ssh-agent of a task', () => {
  const ports = { run, files, clock, random };
  const answers = (path: string) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(path, () => {
        socket.destroy();
        resolve(true);
      }).on('error', () => resolve(false));
    });

  it('holds the key, and is gone with its folder at the end', async () => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'id')]);
    const key = new Secret(readFileSync(join(dir, 'id'), 'utf8').trim().replaceAll('\n', '\r\n'));
    const agent = await startSshAgent(ports, { dir, key }, WAIT);
    const list = execFileSync('ssh-add', ['-l'], {
      env: { PATH: process.env['PATH'] ?? '', SSH_AUTH_SOCK: agent.socket },
    });
    assert.match(String(list), /ED25519/);
    await agent.end();
    await agent.end();
    assert.equal(await answers(agent.socket), false);
    assert.deepEqual(
      readdirSync(dir).filter((name) => name.startsWith('agent-')),
      [],
    );
  });

  it('refuses an encrypted key and one that is none', async () => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', join(dir, 'enc')]);
    for (const text of [readFileSync(join(dir, 'enc'), 'utf8'), 'junk']) {
      await assert.rejects(startSshAgent(ports, { dir, key: new Secret(text) }, WAIT), code('NC3230'));
    }
    assert.deepEqual(
      readdirSync(dir).filter((name) => name.startsWith('agent-')),
      [],
    );
  });
});
