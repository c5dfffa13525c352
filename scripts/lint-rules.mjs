/**
 * The two rules of the design that a linter can hold: imports point one way (section 4), and what touches the
 * outside world does so through a port (section 5).
 */
import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Layer → the layers it may import besides itself; the first prefix that fits a path is its layer. */
const LAYERS = [
  ['ports/', []],
  ['agent-bridge/protocol/', ['ports/']],
  ['agent-bridge/client/', ['agent-bridge/protocol/', 'ports/']],
  ['agent-bridge/', ['agent-bridge/protocol/', 'ports/']],
  ['cycle/', ['agent-bridge/client/', 'agent-bridge/protocol/', 'ports/']],
  ['tasks/', ['cycle/', 'report/', 'agent-bridge/client/', 'agent-bridge/protocol/', 'ports/']],
  ['cli/', ['cycle/', 'report/', 'agent-bridge/client/', 'agent-bridge/protocol/', 'ports/']],
  ['report/', []],
];

/** The page of a run reads the run's record and nothing else of the domain. */
const REPORT_READS = 'cycle/record.ts';

/** Folders that ship; everything else may import anything and touch anything. */
const shipped = (path) => LAYERS.some(([prefix]) => path.startsWith(prefix));
const layerOf = (path) => LAYERS.find(([prefix]) => path.startsWith(prefix));

const arrows = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      arrow:
        '{{from}} must not import {{to}}: imports point from tasks and cli to cycle, to the bridge client, to its protocol, and all of them to ports.',
      outside: '{{from}} ships and must not import {{to}}, which does not.',
      record: 'report/ imports nothing that ships but cycle/record.ts.',
    },
  },
  create(context) {
    const from = inRepository(context.filename);
    const layer = layerOf(from);
    if (layer === undefined) return {};
    const check = (_, source) => {
      if (typeof source?.value !== 'string' || !source.value.startsWith('.')) return;
      const to = inRepository(resolve(dirname(context.filename), source.value));
      const target = layerOf(to);
      const found = { from: layer[0], to };
      if (to === 'package.json') return;
      if (target === undefined) context.report({ node: source, messageId: 'outside', data: found });
      else if (layer[0] === 'report/' && target !== layer) {
        if (to !== REPORT_READS) context.report({ node: source, messageId: 'record' });
      } else if (target !== layer && !layer[1].includes(target[0]))
        context.report({ node: source, messageId: 'arrow', data: found });
    };
    return forEachImport(check);
  },
};

const WIRE_MODULES = new Set(
  [
    'child_process',
    'cluster',
    'dgram',
    'dns',
    'dns/promises',
    'fs',
    'fs/promises',
    'http',
    'http2',
    'https',
    'net',
  ]
    .concat(['timers', 'timers/promises', 'tls', 'worker_threads'])
    .flatMap((name) => [name, `node:${name}`])
    .concat(['execa', 'ssh2', 'node-powershell']),
);
const RANDOM_NAMES = new Set(['randomBytes', 'randomFillSync', 'randomInt', 'randomUUID', 'getRandomValues']);
const CLOCK_CALLS = new Set([
  'Date.now',
  'performance.now',
  'Math.random',
  'AbortSignal.timeout',
  'process.hrtime',
]);
const CLOCK_GLOBALS = new Set(['setTimeout', 'setInterval', 'setImmediate', 'fetch']);

/** Files that are the edge itself: the ports' adapters, and the sockets, files and processes of the bridge. */
const ADAPTERS = [/^ports\//, /^agent-bridge\/(server|service|jobs)\/(doctor\/)?([a-z-]+-)?adapter\.ts$/];

const wire = {
  meta: {
    type: 'problem',
    schema: [{ type: 'object', properties: { adapters: { type: 'array' } }, additionalProperties: false }],
    messages: {
      module: '{{name}} belongs in an adapter: take the port of ports/ports.ts instead.',
      call: '{{name}} is not the same twice: take the clock or random port instead.',
    },
  },
  create(context) {
    const from = inRepository(context.filename);
    const listed = context.options[0]?.adapters ?? [];
    if (!shipped(from) || listed.includes(from) || ADAPTERS.some((each) => each.test(from))) return {};
    const call = (node, name) => context.report({ node, messageId: 'call', data: { name } });
    const isGlobal = (node) => {
      const scope = context.sourceCode.getScope(node);
      const found = scope.references.find(({ identifier }) => identifier === node)?.resolved;
      return found === undefined || found === null || found.defs.length === 0;
    };
    return {
      ...forEachImport((node, source) => {
        const name = source?.value;
        if (node.importKind === 'type' || typeof name !== 'string') return;
        if (WIRE_MODULES.has(name)) context.report({ node: source, messageId: 'module', data: { name } });
        if (!/^(node:)?crypto$/.test(name)) return;
        for (const { imported } of node.specifiers ?? [])
          if (RANDOM_NAMES.has(imported?.name)) call(source, imported.name);
      }),
      NewExpression(node) {
        if (node.callee.name === 'Date' && node.arguments.length === 0 && isGlobal(node.callee))
          call(node, 'new Date()');
      },
      CallExpression(node) {
        if (node.callee.type === 'Identifier' && node.callee.name === 'Date' && isGlobal(node.callee))
          call(node, 'Date()');
      },
      MemberExpression(node) {
        const name = `${node.object.name}.${node.property.name}`;
        if (CLOCK_CALLS.has(name) && isGlobal(node.object)) call(node, name);
        if (node.object.name === 'globalThis' && CLOCK_GLOBALS.has(node.property.name)) call(node, name);
        if (node.object.name === 'crypto' && RANDOM_NAMES.has(node.property.name)) call(node, name);
      },
      Identifier(node) {
        if (!CLOCK_GLOBALS.has(node.name) || node.parent.type === 'ImportSpecifier' || !isGlobal(node))
          return;
        const { parent } = node;
        const member = parent.type === 'MemberExpression' && parent.property === node;
        const key =
          /^(Property|MethodDefinition|TSPropertySignature|TSMethodSignature|PropertyDefinition)$/.test(
            parent.type,
          ) &&
          parent.key === node &&
          !parent.shorthand;
        if (!member && !key && parent.type !== 'TSTypeQuery') call(node, node.name);
      },
    };
  },
};

export const designRules = { rules: { arrows, wire } };

function forEachImport(check) {
  const visit = (node) => check(node, node.source);
  return {
    ImportDeclaration: visit,
    ExportNamedDeclaration: visit,
    ExportAllDeclaration: visit,
    ImportExpression: visit,
    TSImportType: (node) => check({ importKind: 'type' }, node.source ?? node.argument?.literal),
  };
}

function inRepository(file) {
  return relative(root, file).split(sep).join('/');
}
