import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { configJsonSchema } from '../../scripts/documents.ts';
import { generated } from '../../scripts/generate.ts';
import { GOOD, SMALLEST } from '../cycle/config/example.ts';
import { textOf } from './tree.ts';

describe('a generated file', () => {
  it('is committed as it is generated', async () => {
    const files = await generated();
    assert.ok('schemas/node-cycle.schema.json' in files && 'docs/errors.md' in files);
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
