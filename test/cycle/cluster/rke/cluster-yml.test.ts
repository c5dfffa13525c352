import assert from 'node:assert/strict';
import { parse } from 'yaml';
import {
  addNode,
  diffLines,
  dropRole,
  findNode,
  parseClusterYml,
  removeNode,
  restoreRole,
} from '../../../../cycle/cluster/rke/cluster-yml.ts';
import type { Edit } from '../../../../cycle/cluster/rke/cluster-yml.ts';

const PLAIN = `# home cluster
cluster_name: home   # do not rename
nodes:
  # the three servers
  - address: 10.0.0.1
    hostname_override: home-n1
    user: rke
    role: [controlplane, etcd, worker]  # all
    labels:
      zone: a
  # second, in the attic
  - address: 10.0.0.2
    hostname_override: home-n2
    user: rke
    role:
      - controlplane
      - etcd # quorum
      - worker

  - address: 10.0.0.3
    hostname_override: home-n3
    user: rke
    role: [worker]
kubernetes_version: "v1.20.15-rancher2-1"
# end
`;

function text(edit: Edit): string {
  assert.ok(edit.ok, JSON.stringify(edit));
  return edit.text;
}

/** Lines that differ, as `-old` and `+new`. */
function delta(before: string, after: string): string[] {
  return diffLines(before, after)
    .split('\n')
    .slice(3)
    .filter((line) => /^[-+]/.test(line));
}

describe('cluster.yml', () => {
  it('is read with its nodes and the lines they stand on', () => {
    const yml = parseClusterYml(PLAIN);
    assert.deepEqual(
      yml.nodes.map((node) => [node.address, node.roles.length, node.line]),
      [
        ['10.0.0.1', 3, 5],
        ['10.0.0.2', 3, 12],
        ['10.0.0.3', 1, 20],
      ],
    );
    assert.equal(yml.kubernetesVersion, 'v1.20.15-rancher2-1');
    assert.deepEqual(yml.problems, []);
    assert.equal(findNode(yml, 'HOME-N2')?.address, '10.0.0.2');
  });

  const bad: [string, string, RegExp][] = [
    [
      'a duplicate address',
      'nodes:\n- {address: a, user: u, role: [etcd, controlplane]}\n- {address: a, user: u, role: [worker]}\n',
      /a names two nodes/,
    ],
    [
      'a hostname equal to another address',
      'nodes:\n- {address: a, user: u, role: [etcd, controlplane]}\n- {address: b, hostname_override: a, user: u, role: [worker]}\n',
      /a names two nodes/,
    ],
    ['an unknown role', 'nodes:\n- {address: a, user: u, role: [etcd, controlplane, boss]}\n', /found boss/],
    [
      'an empty role',
      'nodes:\n- {address: a, user: u, role: [etcd, controlplane]}\n- {address: b, user: u, role: []}\n',
      /at least one role/,
    ],
    ['no user', 'nodes:\n- {address: a, role: [etcd, controlplane]}\n', /Expected a user/],
    ['no control plane', 'nodes:\n- {address: a, user: u, role: [etcd]}\n', /role controlplane/],
    [
      'a key that is there twice',
      'nodes:\n- {address: a, user: u, role: [etcd, controlplane]}\ncluster_name: x\ncluster_name: y\n',
      /there twice/,
    ],
    [
      'a role that is there twice',
      'nodes:\n- {address: a, user: u, role: [etcd, etcd, controlplane]}\n',
      /twice/,
    ],
  ];
  for (const [what, yml, message] of bad) {
    it(`names ${what} as a problem`, () => {
      assert.ok(
        parseClusterYml(yml).problems.some((one) => message.test(one.message)),
        JSON.stringify(parseClusterYml(yml).problems),
      );
    });
  }

  it('refuses text without a list of nodes', () => {
    for (const broken of ['', 'nodes: 5\n', 'nodes:\n  - a: [\n', 'x: 1\n']) {
      assert.throws(() => parseClusterYml(broken), /NC3201/, broken);
    }
  });
});

describe('an edit of cluster.yml', () => {
  it('drops a role from a flow list and touches that line only', () => {
    assert.deepEqual(delta(PLAIN, text(dropRole(PLAIN, 'home-n1', 'controlplane'))), [
      '-    role: [controlplane, etcd, worker]  # all',
      '+    role: [etcd, worker]  # all',
    ]);
    assert.match(text(dropRole(PLAIN, 'home-n1', 'worker')), /role: \[controlplane, etcd\] {2}# all/);
  });

  it('drops a role from a block list by its line', () => {
    assert.deepEqual(delta(PLAIN, text(dropRole(PLAIN, '10.0.0.2', 'etcd'))), ['-      - etcd # quorum']);
    assert.deepEqual(delta(PLAIN, text(dropRole(PLAIN, '10.0.0.2', 'worker'))), ['-      - worker']);
  });

  it('says that the last role leaves with its entry', () => {
    const edit = dropRole(PLAIN, 'home-n3', 'worker');
    assert.ok(!edit.ok && edit.problem === 'lastRole');
  });

  it('gives a role back so that the text is as it was', () => {
    for (const role of ['controlplane', 'etcd', 'worker'] as const) {
      const without = text(dropRole(PLAIN, 'home-n1', role));
      assert.equal(text(restoreRole(without, 'home-n1', role)), PLAIN);
    }
  });

  it('changes nothing when it is made already', () => {
    const dropped = text(dropRole(PLAIN, 'home-n1', 'etcd'));
    assert.deepEqual(dropRole(dropped, 'home-n1', 'etcd'), { ok: true, text: dropped, changed: false });
    const removed = text(removeNode(PLAIN, 'home-n3'));
    assert.deepEqual(removeNode(removed, 'home-n3'), { ok: true, text: removed, changed: false });
    const added = text(addNode(PLAIN, 'home-n1', { address: '10.0.0.9', hostnameOverride: 'home-n9' }));
    assert.deepEqual(addNode(added, 'home-n1', { address: '10.0.0.9', hostnameOverride: 'home-n9' }), {
      ok: true,
      text: added,
      changed: false,
    });
  });

  it('appends a node in the style of the one that it is like', () => {
    const added = text(addNode(PLAIN, 'home-n1', { address: '10.0.0.9', hostnameOverride: 'home-n9' }));
    assert.deepEqual(delta(PLAIN, added), [
      '+',
      '+  - address: 10.0.0.9',
      '+    hostname_override: home-n9',
      '+    user: rke',
      '+    role: [controlplane, etcd, worker]',
      '+    labels:',
      '+      zone: a',
    ]);
  });

  it('removes an entry with the comment that is about it', () => {
    assert.deepEqual(delta(PLAIN, text(removeNode(PLAIN, 'home-n2')))[0], '-  # second, in the attic');
    assert.ok(text(removeNode(PLAIN, 'home-n1')).includes('# the three servers'));
  });

  it('takes in and takes out again without a trace', () => {
    for (const like of ['home-n1', 'home-n2', 'home-n3']) {
      const added = text(addNode(PLAIN, like, { address: '10.0.0.9', hostnameOverride: 'home-n9' }));
      assert.equal(text(removeNode(added, 'home-n9')), PLAIN);
    }
  });

  it('refuses what other places depend on', () => {
    const shared = `defaults: &d\n  user: rke\nnodes:\n- &n1\n  address: a\n  <<: *d\n  role: &r [controlplane, etcd, worker]\n- address: b\n  <<: *d\n  role: *r\nx: *n1\n`;
    for (const edit of [
      dropRole(shared, 'a', 'etcd'),
      dropRole(shared, 'b', 'etcd'),
      removeNode(shared, 'a'),
    ]) {
      assert.ok(!edit.ok && edit.problem === 'unsafe', JSON.stringify(edit));
    }
    const only = removeNode('nodes:\n- {address: a, user: u, role: [etcd]}\n', 'a');
    assert.ok(!only.ok && only.problem === 'unsafe');
  });

  it('does not take an address that another entry has', () => {
    const edit = addNode(PLAIN, 'home-n1', { address: '10.0.0.3', hostnameOverride: 'home-n9' });
    assert.ok(!edit.ok && edit.problem === 'exists');
  });
});

interface Shape {
  eol: string;
  indent: string;
  gap: string;
  quote: string;
  roles: 'flow' | 'block' | 'padded';
  item: 'block' | 'flow' | 'flowSeq';
  comments: boolean;
  blank: boolean;
  merge: boolean;
  tail: boolean;
}

function shapes(): Shape[] {
  const all: Shape[] = [];
  for (const item of ['block', 'flow', 'flowSeq'] as const)
    for (const roles of ['flow', 'block', 'padded'] as const)
      for (const eol of ['\n', '\r\n'])
        for (const indent of ['', '  ', '    '])
          for (const [gap, quote] of [
            [' ', ''],
            ['   ', '"'],
            [' ', "'"],
          ] as const) {
            if (item !== 'block' && roles === 'block') continue;
            const n = all.length;
            all.push({
              item,
              roles,
              eol,
              indent,
              gap,
              quote,
              comments: n % 2 === 0,
              blank: n % 3 === 0,
              merge: n % 4 === 1,
              tail: n % 5 !== 0,
            });
          }
  return all;
}

function generate(shape: Shape): string {
  const { indent, gap, quote } = shape;
  const q = (value: string) => quote + value + quote;
  const note = (value: string) => (shape.comments ? ` # ${value}\t(tab)` : '');
  const lines = [
    '# generated' + (shape.comments ? '\twith a tab' : ''),
    'defaults: &defaults',
    '  user: rke',
    'nodes:',
  ];
  const pad = shape.roles === 'padded' ? ' ' : '';
  const sets = [['controlplane', 'etcd', 'worker'], ['etcd', 'worker'], ['controlplane', 'etcd'], ['worker']];
  const user = shape.merge ? '<<: *defaults' : `user: ${q('rke')}`;
  const flowItem = (roles: string[], i: number) =>
    `{address: ${q(`10.1.0.${i}`)}, hostname_override: ${q(`gen-n${i}`)}, ${user}, role: [${pad}${roles.join(', ')}${pad}]}`;
  if (shape.item === 'flowSeq') {
    lines[3] = `nodes: [`;
    sets.forEach((roles, i) => lines.push(`${indent}  ${flowItem(roles, i + 1)}${i < 3 ? ',' : ''}`));
    lines.push(`${indent}]`);
  } else {
    sets.forEach((roles, i) => {
      if (shape.blank && i > 0) lines.push('');
      if (shape.item === 'flow') {
        lines.push(`${indent}- ${flowItem(roles, i + 1)}${note('flow')}`);
        return;
      }
      const column = `${indent}-${gap}`.replace(/-/, ' ');
      lines.push(`${indent}-${gap}address: ${q(`10.1.0.${i + 1}`)}${note('where')}`);
      lines.push(`${column}hostname_override: ${q(`gen-n${i + 1}`)}`, `${column}${user}`);
      if (shape.roles === 'block')
        lines.push(
          `${column}role:${note('roles')}`,
          ...roles.map((role) => `${column}  - ${role}${note(role)}`),
        );
      else lines.push(`${column}role: [${pad}${roles.join(', ')}${pad}]${note('roles')}`);
    });
  }
  lines.push('network:', '  plugin: canal', ...(shape.tail ? ['# the end', ''] : []));
  return lines.join(shape.eol);
}

describe('any layout of cluster.yml', () => {
  const all = shapes();
  it(`keeps every other byte through all edits, in ${all.length} layouts`, () => {
    assert.ok(all.length > 60);
    for (const shape of all) {
      const before = generate(shape);
      const where = JSON.stringify(shape);
      const nodes = parseClusterYml(before).nodes;
      assert.equal(nodes.length, 4, where);

      const added = text(addNode(before, 'gen-n2', { address: '10.1.0.9', hostnameOverride: 'gen-n9' }));
      const lines = added.split('\n');
      const kept = before.split('\n');
      let at = 0;
      for (const line of lines) if (at < kept.length && line === kept[at]) at += 1;
      const missing = shape.item === 'flowSeq' ? kept.length : at;
      assert.equal(missing, kept.length, `${where}\n${added}`);
      assert.deepEqual(parseClusterYml(added).nodes.at(-1)?.roles, ['etcd', 'worker'], where);
      assert.equal(added.includes('\r'), shape.eol === '\r\n', where);
      assert.equal(/[^\r]\n/.test(added), shape.eol === '\n', where);
      if (shape.item !== 'flowSeq')
        assert.equal(text(removeNode(added, 'gen-n9')), before, `${where}\n${added}`);

      for (const role of ['controlplane', 'etcd', 'worker'] as const) {
        const dropped = text(dropRole(before, 'gen-n1', role));
        const gone = delta(before, dropped).filter((line) => line.startsWith('-'));
        assert.equal(gone.length, 1, `${where}\n${dropped}`);
        const back = text(restoreRole(dropped, 'gen-n1', role));
        if (shape.roles !== 'block') assert.equal(back, before, where);
        else assert.deepEqual(parse(back, { merge: true }), parse(before, { merge: true }), where);
      }
      for (const node of ['gen-n1', 'gen-n2', 'gen-n4']) {
        const removed = text(removeNode(before, node));
        assert.equal(parseClusterYml(removed).nodes.length, 3, where);
        const left = removed.split('\n').filter((line) => line.trim() !== '');
        let next = 0;
        for (const line of kept) if (line === left[next]) next += 1;
        if (shape.item !== 'flowSeq') assert.equal(next, left.length, `${where}\n${removed}`);
      }
    }
  });
});
