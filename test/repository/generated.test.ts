import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { OPERATIONS } from '../../agent-bridge/protocol/operations.ts';
import { accountFiles } from '../../cycle/edge/nginx/account.ts';
import { parsePolicy } from '../../agent-bridge/server/policy.ts';
import { starterPolicy } from '../../agent-bridge/service/starter.ts';
import { bridgeJsonSchema, configJsonSchema } from '../../scripts/documents.ts';
import { generated } from '../../scripts/generate.ts';
import { REQUESTS } from '../../scripts/operations-document.ts';
import { GOOD, SMALLEST } from '../cycle/config/example.ts';
import { textOf } from './tree.ts';

describe('a generated file', () => {
  it('is committed as it is generated', async () => {
    const files = await generated();
    for (const path of ['schemas/node-cycle.schema.json', 'schemas/bridge.schema.json', 'docs/errors.md'])
      assert.ok(path in files, path);
    assert.ok('docs/operations.md' in files);
    const { authorizedKeys, sudoers = '' } = accountFiles({
      ...{ user: 'node-cycle', publicKey: 'ssh-ed25519 AAAA', files: [], runs: 'sudo' },
    });
    const [restricted = ''] = authorizedKeys.split(' ssh-ed25519');
    for (const line of [restricted, ...sudoers.trim().split('\n')])
      assert.ok(files['docs/proxy.md']?.includes(`\n   ${line}`), line);
    for (const [path, text] of Object.entries(files))
      assert.equal(textOf(path), text, `${path} is stale: run npm run generate`);
  });

  it('for editors accepts what the configuration accepts', () => {
    const validate = new Ajv2020({ strict: false }).compile(configJsonSchema());
    for (const text of [GOOD, SMALLEST]) assert.ok(validate(parse(text)), JSON.stringify(validate.errors));
  });

  it('for editors refuses unknown keys and wrong types', () => {
    const validate = new Ajv2020({ strict: false }).compile(configJsonSchema());
    assert.equal(validate({ ...(parse(SMALLEST) as object), colour: 'blue' }), false);
    assert.equal(validate({ ...(parse(SMALLEST) as object), cluster: 5 }), false);
  });
});

describe('the schema of bridge.yaml for editors', () => {
  const validate = new Ajv2020({ strict: false, formats: { uri: true } }).compile(bridgeJsonSchema());
  const starter = starterPolicy({ dataDir: '/var/lib/bridge' });
  // With its examples, which are comments in the file that `init` writes.
  const filled = starter
    .replace(/^(networks|sizes|images|zones|clients): (\{\}|\[\])$/gm, '$1:')
    .replace(/^ {2}# /gm, '  ')
    .replaceAll('…', 'A');

  it('accepts what the bridge accepts', () => {
    for (const text of [starter, filled]) {
      assert.ok(validate(parse(text)), JSON.stringify(validate.errors));
      parsePolicy(text, 'bridge.yaml');
    }
    assert.ok(JSON.stringify(parse(filled)).includes('vm.create'));
  });

  it('refuses unknown keys, at the top and in a client', () => {
    const file = parse(filled) as { clients: object[] };
    assert.equal(validate({ ...file, colour: 'blue' }), false);
    assert.equal(validate({ ...file, clients: [{ ...file.clients[0], colour: 'blue' }] }), false);
  });

  it('refuses a limit that is out of its range', () => {
    assert.equal(validate({ ...(parse(filled) as object), keepStoppedHours: 9_000 }), false);
  });
});

describe('docs/operations.md', () => {
  const text = textOf('docs/operations.md');
  const chapters = new Map(text.split(/^## /m).map((part) => [part.split('\n')[0], part]));

  it('has a chapter for each operation, with each of its parameters and what bounds it', () => {
    for (const { name, params, does, budget } of OPERATIONS.values()) {
      const chapter = chapters.get(name) ?? '';
      assert.ok(chapter.includes(does), name);
      if (budget !== undefined) assert.ok(chapter.includes(`\`budgets.${budget}\``), name);
      const rows = [...chapter.matchAll(/^\| `(\w+)` \| (.+) \| (.+) \|.*\|$/gm)];
      assert.deepEqual(
        rows.map(([, parameter]) => parameter),
        Object.keys(params),
      );
    }
  });

  it('names the requests that the protocol has', () => {
    const described = textOf('agent-bridge/protocol/wire.ts').split('*/')[0] ?? '';
    const written = [...described.matchAll(/^ \* {3}(GET|POST) +(\/v1\S+)/gm)].map(([, method, path]) => [
      method,
      path,
    ]);
    assert.equal(written.length, 5);
    assert.deepEqual(
      REQUESTS.map(([method, path]) => [method, path]),
      written,
    );
  });
});
