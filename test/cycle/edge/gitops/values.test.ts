import assert from 'node:assert/strict';
import {
  addIngressAddress,
  ingressAddresses,
  removeIngressAddress,
} from '../../../../cycle/edge/gitops/values.ts';

const [OLD, OTHER, NEW] = ['10.0.0.11', '10.0.0.12', '10.0.0.13'];

/** `§` is where the file differs after the change: everything outside must stay byte for byte. */
interface Shape {
  name: string;
  path: string;
  text: string;
  added: string;
  removed: string;
}

const shapes: Shape[] = [
  {
    name: 'a list with comments',
    path: 'controller.service.externalIPs',
    text: `# values\ncontroller:\n  service:\n    externalIPs:   # keep\n      - 10.0.0.11  # node 1\n      # second\n      - 10.0.0.12\n    type: LoadBalancer # x\n`,
    added: `# values\ncontroller:\n  service:\n    externalIPs:   # keep\n      - 10.0.0.11  # node 1\n      - 10.0.0.13\n      # second\n      - 10.0.0.12\n    type: LoadBalancer # x\n`,
    removed: `# values\ncontroller:\n  service:\n    externalIPs:   # keep\n      # second\n      - 10.0.0.12\n    type: LoadBalancer # x\n`,
  },
  {
    name: 'a list that is not indented',
    path: 'externalIPs',
    text: `externalIPs:\n- 10.0.0.11\n- 10.0.0.12\nz: 1\n`,
    added: `externalIPs:\n- 10.0.0.11\n- 10.0.0.13\n- 10.0.0.12\nz: 1\n`,
    removed: `externalIPs:\n- 10.0.0.12\nz: 1\n`,
  },
  {
    name: 'a list with wide dashes and double quotes',
    path: 'a.b',
    text: `a:\n  b:\n    -   "10.0.0.11"\n    -   '10.0.0.12'\n`,
    added: `a:\n  b:\n    -   "10.0.0.11"\n    -   "10.0.0.13"\n    -   '10.0.0.12'\n`,
    removed: `a:\n  b:\n    -   '10.0.0.12'\n`,
  },
  {
    name: 'a list in a file with CRLF',
    path: 'a',
    text: `# c\r\na:\r\n  - 10.0.0.11\r\n  - 10.0.0.12\r\nb: 1\r\n`,
    added: `# c\r\na:\r\n  - 10.0.0.11\r\n  - 10.0.0.13\r\n  - 10.0.0.12\r\nb: 1\r\n`,
    removed: `# c\r\na:\r\n  - 10.0.0.12\r\nb: 1\r\n`,
  },
  {
    name: 'a list at the end of a file without a final newline',
    path: 'a',
    text: `a:\n  - 10.0.0.12\n  - 10.0.0.11`,
    added: `a:\n  - 10.0.0.12\n  - 10.0.0.11\n  - 10.0.0.13`,
    removed: `a:\n  - 10.0.0.12`,
  },
  {
    name: 'a flow list on one line',
    path: 'a.b',
    text: `a: { b: [10.0.0.11, 10.0.0.12], c: 1 } # x\n`,
    added: `a: { b: [10.0.0.11, 10.0.0.13, 10.0.0.12], c: 1 } # x\n`,
    removed: `a: { b: [10.0.0.12], c: 1 } # x\n`,
  },
  {
    name: 'a flow list over several lines with a comma at the end',
    path: 'a',
    text: `a: [\n  10.0.0.11, # one\n  10.0.0.12,\n]\n`,
    added: `a: [\n  10.0.0.11, # one\n  10.0.0.13,\n  10.0.0.12,\n]\n`,
    removed: `a: [\n  10.0.0.12,\n]\n`,
  },
  {
    name: 'a flow list over several lines without a comma at the end',
    path: 'a',
    text: `a: [\n  10.0.0.12,\n  10.0.0.11\n]\n`,
    added: `a: [\n  10.0.0.12,\n  10.0.0.11,\n  10.0.0.13\n]\n`,
    removed: `a: [\n  10.0.0.12\n]\n`,
  },
  {
    name: 'a JSON list',
    path: 'a',
    text: `{"a": ["10.0.0.11", "10.0.0.12"], "b": null}\n`,
    added: `{"a": ["10.0.0.11", "10.0.0.13", "10.0.0.12"], "b": null}\n`,
    removed: `{"a": ["10.0.0.12"], "b": null}\n`,
  },
  {
    name: 'a comma list',
    path: 'controller.extraArgs.publish-status-address',
    text: `controller:\n  extraArgs:\n    publish-status-address: 10.0.0.11,10.0.0.12 # both\n`,
    added: `controller:\n  extraArgs:\n    publish-status-address: 10.0.0.11,10.0.0.13,10.0.0.12 # both\n`,
    removed: `controller:\n  extraArgs:\n    publish-status-address: 10.0.0.12 # both\n`,
  },
  {
    name: 'a comma list in quotes with blanks',
    path: 'a',
    text: `a: "10.0.0.11, 10.0.0.12"\n`,
    added: `a: "10.0.0.11, 10.0.0.13, 10.0.0.12"\n`,
    removed: `a: "10.0.0.12"\n`,
  },
  {
    name: "Helm's escaped commas in an Argo CD parameter",
    path: 'spec.source.helm.parameters[name=controller.extraArgs.publish-status-address].value',
    text: `spec:\n  source:\n    helm:\n      parameters:\n        - name: other\n          value: x\n        - name: controller.extraArgs.publish-status-address\n          value: 10.0.0.11\\,10.0.0.12\n`,
    added: `spec:\n  source:\n    helm:\n      parameters:\n        - name: other\n          value: x\n        - name: controller.extraArgs.publish-status-address\n          value: 10.0.0.11\\,10.0.0.13\\,10.0.0.12\n`,
    removed: `spec:\n  source:\n    helm:\n      parameters:\n        - name: other\n          value: x\n        - name: controller.extraArgs.publish-status-address\n          value: 10.0.0.12\n`,
  },
  {
    name: 'an umbrella chart',
    path: 'ingress-nginx.controller.service.externalIPs',
    text: `global: {}\ningress-nginx:\n  controller:\n    service:\n      externalIPs:\n        - 10.0.0.11\n        - 10.0.0.12\n`,
    added: `global: {}\ningress-nginx:\n  controller:\n    service:\n      externalIPs:\n        - 10.0.0.11\n        - 10.0.0.13\n        - 10.0.0.12\n`,
    removed: `global: {}\ningress-nginx:\n  controller:\n    service:\n      externalIPs:\n        - 10.0.0.12\n`,
  },
  {
    name: 'YAML inside a literal block',
    path: 'spec.source.helm.values|.controller.service.externalIPs',
    text: `spec:\n  source:\n    helm:\n      values: |\n        # inner\n        controller:\n          service:\n            externalIPs:\n              - 10.0.0.11 # a\n              - 10.0.0.12\n\n        tail: 1\n  destination: {}\n`,
    added: `spec:\n  source:\n    helm:\n      values: |\n        # inner\n        controller:\n          service:\n            externalIPs:\n              - 10.0.0.11 # a\n              - 10.0.0.13\n              - 10.0.0.12\n\n        tail: 1\n  destination: {}\n`,
    removed: `spec:\n  source:\n    helm:\n      values: |\n        # inner\n        controller:\n          service:\n            externalIPs:\n              - 10.0.0.12\n\n        tail: 1\n  destination: {}\n`,
  },
  {
    name: 'YAML inside a stripped block at the end of the file',
    path: 'values|.ips',
    text: `values: |-\n  ips:\n  - 10.0.0.12\n  - 10.0.0.11`,
    added: `values: |-\n  ips:\n  - 10.0.0.12\n  - 10.0.0.11\n  - 10.0.0.13`,
    removed: `values: |-\n  ips:\n  - 10.0.0.12`,
  },
  {
    name: 'YAML inside a block with CRLF',
    path: 'values|.ips',
    text: `values: |\r\n  ips: # x\r\n    - 10.0.0.11\r\n    - 10.0.0.12\r\nb: 1\r\n`,
    added: `values: |\r\n  ips: # x\r\n    - 10.0.0.11\r\n    - 10.0.0.13\r\n    - 10.0.0.12\r\nb: 1\r\n`,
    removed: `values: |\r\n  ips: # x\r\n    - 10.0.0.12\r\nb: 1\r\n`,
  },
  {
    name: 'a comma list inside a literal block',
    path: 'values|.a',
    text: `values: |\n  a: "10.0.0.11,10.0.0.12" # x\n  b: 2\n`,
    added: `values: |\n  a: "10.0.0.11,10.0.0.13,10.0.0.12" # x\n  b: 2\n`,
    removed: `values: |\n  a: "10.0.0.12" # x\n  b: 2\n`,
  },
  {
    name: 'YAML inside a double-quoted text',
    path: 'values|.a',
    text: `x: 1\nvalues: "a:\\n- 10.0.0.11\\n- 10.0.0.12\\n" # q\ny: 2\n`,
    added: `x: 1\nvalues: "a:\\n- 10.0.0.11\\n- 10.0.0.13\\n- 10.0.0.12\\n" # q\ny: 2\n`,
    removed: `x: 1\nvalues: "a:\\n- 10.0.0.12\\n" # q\ny: 2\n`,
  },
  {
    name: 'a Kustomize patch',
    path: 'patches[0].patch|[0].value',
    text: `patches:\n  - target: { kind: Service }\n    patch: |-\n      - op: replace\n        path: /spec/externalIPs\n        value: [10.0.0.11, 10.0.0.12]\n  - path: other.yaml\n`,
    added: `patches:\n  - target: { kind: Service }\n    patch: |-\n      - op: replace\n        path: /spec/externalIPs\n        value: [10.0.0.11, 10.0.0.13, 10.0.0.12]\n  - path: other.yaml\n`,
    removed: `patches:\n  - target: { kind: Service }\n    patch: |-\n      - op: replace\n        path: /spec/externalIPs\n        value: [10.0.0.12]\n  - path: other.yaml\n`,
  },
  {
    name: "Flux's values in the second document",
    path: 'spec.values.controller.service.externalIPs',
    text: `kind: HelmRepository\nspec:\n  url: x\n---\nkind: HelmRelease\nspec:\n  values:\n    controller:\n      service:\n        externalIPs:\n          - 10.0.0.11\n          - 10.0.0.12\n`,
    added: `kind: HelmRepository\nspec:\n  url: x\n---\nkind: HelmRelease\nspec:\n  values:\n    controller:\n      service:\n        externalIPs:\n          - 10.0.0.11\n          - 10.0.0.13\n          - 10.0.0.12\n`,
    removed: `kind: HelmRepository\nspec:\n  url: x\n---\nkind: HelmRelease\nspec:\n  values:\n    controller:\n      service:\n        externalIPs:\n          - 10.0.0.12\n`,
  },
  {
    name: 'a key with dots in it, and UTF-8 around',
    path: '"a.b".ips',
    text: `# Größe → ✓\n"a.b":\n  ips:\n    - 10.0.0.11 # größe\n    - 10.0.0.12\nß: "…"\n`,
    added: `# Größe → ✓\n"a.b":\n  ips:\n    - 10.0.0.11 # größe\n    - 10.0.0.13\n    - 10.0.0.12\nß: "…"\n`,
    removed: `# Größe → ✓\n"a.b":\n  ips:\n    - 10.0.0.12\nß: "…"\n`,
  },
  {
    name: 'an anchored list that others use',
    path: 'ips',
    text: `ips: &ips\n  - 10.0.0.11\n  - 10.0.0.12\nb: *ips\n`,
    added: `ips: &ips\n  - 10.0.0.11\n  - 10.0.0.13\n  - 10.0.0.12\nb: *ips\n`,
    removed: `ips: &ips\n  - 10.0.0.12\nb: *ips\n`,
  },
  {
    name: 'items with tags, which stay what they are',
    path: 'a',
    text: `a:\n  - !!str 10.0.0.11\n  - !<tag:x> 10.0.0.12\n`,
    added: `a:\n  - !!str 10.0.0.11\n  - 10.0.0.13\n  - !<tag:x> 10.0.0.12\n`,
    removed: `a:\n  - !<tag:x> 10.0.0.12\n`,
  },
  {
    name: 'a literal block with an indentation that is told',
    path: 'v|.a',
    text: `v: |2\n   a:\n     - 10.0.0.11\n     - 10.0.0.12\n`,
    added: `v: |2\n   a:\n     - 10.0.0.11\n     - 10.0.0.13\n     - 10.0.0.12\n`,
    removed: `v: |2\n   a:\n     - 10.0.0.12\n`,
  },
];

describe('ingress addresses in a values file', () => {
  for (const shape of shapes) {
    it(`adds behind the old one and removes it in ${shape.name}`, () => {
      assert.deepEqual([...ingressAddresses(shape.text, shape.path)].sort(), [OLD, OTHER]);
      const added = addIngressAddress(shape.text, shape.path, OLD, NEW);
      assert.equal(added, shape.added);
      assert.equal(removeIngressAddress(shape.text, shape.path, OLD), shape.removed);
      assert.equal(removeIngressAddress(added, shape.path, NEW), shape.text, 'and back again');
      assert.equal(addIngressAddress(added, shape.path, OLD, NEW), added, 'once is enough');
    });
  }

  it('puts an address last when the old one is not there, and into an empty list', () => {
    assert.equal(
      addIngressAddress('a:\n  - 10.0.0.12\n', 'a', OLD, NEW),
      'a:\n  - 10.0.0.12\n  - 10.0.0.13\n',
    );
    assert.equal(addIngressAddress('a: [] # none\n', 'a', OLD, NEW), 'a: [10.0.0.13] # none\n');
    assert.equal(removeIngressAddress('a:\n  - 10.0.0.12\n', 'a', OLD), 'a:\n  - 10.0.0.12\n');
  });

  it('knows one IPv6 address in every spelling', () => {
    const text = 'a:\n  - 2001:DB8:0::1\n  - "2001:db8::2"\n';
    assert.deepEqual(ingressAddresses(text, 'a'), ['2001:db8::1', '2001:db8::2']);
    assert.equal(removeIngressAddress(text, 'a', '2001:db8::1'), 'a:\n  - "2001:db8::2"\n');
    assert.equal(
      addIngressAddress('a: [10.0.0.1]\n', 'a', 'x', '2001:DB8::7'),
      'a: [10.0.0.1, "2001:db8::7"]\n',
    );
  });

  const refused: [string, RegExp, () => unknown][] = [
    ['a path where nothing is', /NC4020.*nothing is there/, () => ingressAddresses('a: 1\n', 'b.c')],
    ['a mapping', /NC4020.*a mapping/, () => ingressAddresses('a: { b: 1 }\n', 'a')],
    ['an empty value', /NC4020/, () => ingressAddresses('a:\n', 'a')],
    [
      'a path that two documents have',
      /NC4020.*2 documents/,
      () => ingressAddresses('a: [x]\n---\na: [y]\n', 'a'),
    ],
    ['broken YAML, with its line', /NC4021.*Line 2/, () => ingressAddresses('a: [x\nb: }\n', 'a')],
    ['an alias', /NC4022.*\*ips/, () => ingressAddresses('x: &ips [10.0.0.1]\na: *ips\n', 'a')],
    ['a folded block of YAML', /NC4022.*folded/, () => ingressAddresses('v: >\n  a: [x]\n', 'v|.a')],
    ['the last address', /NC4023/, () => removeIngressAddress('a: [10.0.0.11]\n', 'a', OLD)],
    [
      'a second address for a load balancer of one',
      /NC4022.*single/,
      () => addIngressAddress('loadBalancerIP: 10.0.0.11\n', 'loadBalancerIP', OLD, NEW),
    ],
    [
      'an address with a newline',
      /NC4003/,
      () => addIngressAddress('a: [10.0.0.11]\n', 'a', OLD, '10.0.0.1\nb: 1'),
    ],
    [
      'an address with a tag',
      /NC4003/,
      () => addIngressAddress('a: [10.0.0.11]\n', 'a', OLD, '!!js/function x'),
    ],
    ['an empty path', /NC4024/, () => ingressAddresses('a: 1\n', '')],
    ['a path that ends with a dot', /NC4024/, () => ingressAddresses('a: 1\n', 'a.')],
    ['a path with an open bracket', /NC4024/, () => ingressAddresses('a: 1\n', 'a[x')],
  ];
  for (const [what, message, act] of refused) {
    it(`refuses ${what}`, () => assert.throws(act, message));
  }
});
