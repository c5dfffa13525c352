import { makeSshKeyPair } from '../../../lab/ssh-key.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { loadConfig, renderErrors } from '../../../cycle/config.ts';
import { HOME, ROLE_SETS, SMALL, makeExample, shapeWithOldest } from '../../../lab/example.ts';
import type { ExampleInput, ExampleShape } from '../../../lab/example.ts';
import { readConfig } from '../../../lab/world/rke/config.ts';
import { PROGRAM } from '../../../lab/world/rke/defaults.ts';

const VALUES = {
  proxy: {
    address: '127.83.0.2',
    port: 2022,
    user: 'lab',
    hostKey: makeSshKeyPair().public,
  },
  dnsServers: ['127.83.0.3:5300'],
  dnsKeyName: 'node-cycle',
  rkeBinary: '/opt/rke',
  stateDir: '/var/lib/node-cycle/home',
};

describe('the example', () => {
  const dirs: string[] = [];
  const make = (shape?: ExampleShape): ExampleInput => {
    const dir = mkdtempSync(join(tmpdir(), 'node-cycle-example-'));
    dirs.push(dir);
    return makeExample({ dir, base: '127.83.0', seed: 1, nowMs: Date.now(), ...(shape ? { shape } : {}) });
  };
  after(() => {
    for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
  });

  const shapes: [string, ExampleShape][] = [
    ['home', HOME],
    ['small', SMALL],
    ...ROLE_SETS.map((roles): [string, ExampleShape] => [roles.join('+'), shapeWithOldest(roles)]),
  ];
  for (const [name, shape] of shapes)
    it(`is a valid configuration and a cluster.yml that rke takes: ${name}`, () => {
      const example = make(shape);
      const { nodeCycleYml, commit } = example.publish(VALUES);
      assert.match(commit, /^[0-9a-f]{40}$/);
      const loaded = loadConfig(nodeCycleYml, 'node-cycle.yml');
      assert.ok('config' in loaded, 'errors' in loaded ? renderErrors(loaded.errors) : '');
      const read = readConfig(example.clusterYml, PROGRAM);
      assert.ok('config' in read, 'fatal' in read ? read.fatal : '');
      assert.deepEqual(
        read.config.nodes.map((node) => [node.hostnameOverride, node.address, node.role]),
        example.nodes.map((node) => [node.name, node.address, [...node.roles]]),
      );
      assert.ok(read.config.authentication.sans?.includes('cp-home.home.example'));
    });

  it('has both repositories with one commit, pipelines as the caller gives them', () => {
    const example = make();
    const { commit } = example.publish({ ...VALUES, extraFiles: { 'pipelines/cycle.yml': 'stages: []\n' } });
    const git = (repository: string, ...args: string[]) =>
      execFileSync('git', ['-C', repository, ...args], { encoding: 'utf8' });
    assert.equal(git(example.repositories.user, 'rev-parse', 'main').trim(), commit);
    assert.equal(git(example.repositories.user, 'show', 'main:pipelines/cycle.yml'), 'stages: []\n');
    assert.equal(git(example.repositories.user, 'show', 'main:cluster.yml'), example.clusterYml);
    const values = parse(git(example.repositories.gitops, 'show', 'main:apps/ingress-nginx/values.yaml')) as {
      controller: { service: { externalIPs: string[] } };
    };
    assert.deepEqual(
      values.controller.service.externalIPs,
      example.nodes.map(({ address }) => address),
    );
  });

  it('names every worker in both kinds of upstream, with weights, limits and a comment', () => {
    const { nginx, nodes } = make();
    const [http = '', stream = ''] = [nginx.http['home.conf'], nginx.stream['tcp.conf']];
    for (const { address } of nodes) {
      assert.ok(http.includes(`server ${address}:8081`), address);
      assert.ok(stream.includes(`server ${address}:9000`), address);
    }
    assert.match(http, /weight=2 max_fails=2/);
    assert.match(http, /# the one in the cellar/);
  });

  it('has a set alias, an alias of one CNAME, and a record for each node', () => {
    const { dnsRecords } = make();
    assert.equal(dnsRecords.filter(({ name }) => name === 'cp-home').length, 3);
    assert.equal(dnsRecords.filter(({ name }) => name === 'tfx-home').length, 5);
    assert.deepEqual(
      dnsRecords.filter(({ type }) => type === 'CNAME').map(({ name, data }) => [name, data]),
      [['dash', 'home-n1.home.example']],
    );
    assert.equal(dnsRecords.filter(({ name }) => /^home-n\d$/.test(name)).length, 5);
  });

  it("keeps another tool's JSON in the notes, and one node over the age limit", () => {
    const { nodes } = make();
    for (const { notes } of nodes)
      assert.equal(typeof (JSON.parse(notes ?? '') as { startGroup: number }).startGroup, 'number');
    assert.deepEqual(
      nodes.filter(({ ageDays }) => ageDays > 60).map(({ name }) => name),
      ['home-n1'],
    );
  });

  it('gives a bridge.yaml once everything open in it has a value, and names what lacks one', () => {
    const example = make();
    assert.throws(() => example.bridgeYaml({}), /no value for \{\{bridgePort\}\}/);
    const filled = parse(
      example.bridgeYaml({
        bridgePort: '8443',
        engineFile: '/opt/engine',
        engineArgs: '',
        scriptsDir: '/opt/scripts',
        dataDir: '/var/lib/bridge',
        vmRoot: "'D:\\VMs'",
        imageRoot: "'D:\\Images'",
        template: '/opt/ubuntu-node.pkr.hcl',
        clientFingerprint: 'aa'.repeat(32),
        operations: 'host.read, vm.read',
        warm: 'false',
      }),
    ) as { clients: { addressRanges: string[] }[]; images: Record<string, { authorizedKeys: string[] }> };
    assert.deepEqual(filled.clients[0]?.addressRanges, ['127.83.0.60-127.83.0.79']);
    assert.deepEqual(filled.images['ubuntu-node']?.authorizedKeys, [example.nodeKey.public]);
  });
});
