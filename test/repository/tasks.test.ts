import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import AjvDraft04 from 'ajv-draft-04';
import type { TaskManifest } from '../../scripts/documents.ts';
import { ROOT, textOf } from './tree.ts';

interface Extension {
  version: string;
  icons: { default: string };
  contributions: { id: string; type: string; properties: { name: string } }[];
}

const names = readdirSync(join(ROOT, 'tasks')).filter((name) =>
  existsSync(join(ROOT, 'tasks', name, 'task.json')),
);
const extension = JSON.parse(textOf('vss-extension.json')) as Extension;
const manifest = (name: string) => JSON.parse(textOf(`tasks/${name}/task.json`)) as TaskManifest;
const typesOfBridge = extension.contributions
  .filter(({ type }) => type === 'ms.vss-endpoint.service-endpoint-type')
  .map(({ properties }) => properties.name);

const INPUT_TYPES = new Set([
  'boolean',
  'filePath',
  'int',
  'multiLine',
  'pickList',
  'radio',
  'secureFile',
  'string',
]);
const CONNECTIONS = new Set(['ssh', 'git', 'generic', ...typesOfBridge]);

for (const name of names)
  describe(`the task ${name}`, () => {
    const task = manifest(name);
    const inputs = new Map(task.inputs.map((input) => [input.name, input]));

    it('has names that Azure Pipelines accepts', () => {
      assert.equal(task.name, name);
      assert.match(task.name, /^[A-Za-z0-9-]+$/);
      assert.match(task.id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      assert.ok(task.friendlyName.length <= 40, `friendlyName has ${task.friendlyName.length} characters`);
      for (const input of task.inputs) assert.match(input.name, /^[A-Za-z][A-Za-z0-9]*$/);
      assert.equal(inputs.size, task.inputs.length, 'an input stands twice');
    });

    it('runs on Node 24 and Node 20, from one file', () => {
      assert.deepEqual(Object.keys(task.execution).sort(), ['Node20_1', 'Node24']);
      for (const { target } of Object.values(task.execution)) assert.equal(target, 'index.js');
      assert.equal(task.minimumAgentVersion, '4.248.0');
    });

    it('lists which variables it may set: its outputs and no others', () => {
      const allowed = task.restrictions?.settableVariables?.allowed;
      assert.ok(Array.isArray(allowed));
      assert.deepEqual([...allowed].sort(), (task.outputVariables ?? []).map((output) => output.name).sort());
    });

    it('refers only to inputs and groups that it has', () => {
      const groups = new Set((task.groups ?? []).map((group) => group.name));
      for (const input of task.inputs) {
        if (input.groupName !== undefined) assert.ok(groups.has(input.groupName), `group of ${input.name}`);
        for (const part of input.visibleRule?.split(/\s*(?:&&|\|\|)\s*/) ?? []) {
          const [, target = '', value = ''] = /^(\w+)\s*(?:!?=|==)\s*(.*)$/.exec(part) ?? [];
          const wanted = inputs.get(target);
          assert.ok(wanted !== undefined, `${input.name} is shown by "${part}", which names no input`);
          if (wanted.options !== undefined)
            assert.ok(value in wanted.options, `"${value}" is no choice of ${target}`);
          if (wanted.type === 'boolean') assert.match(value, /^(true|false)$/);
        }
      }
      for (const [, target = ''] of task.instanceNameFormat.matchAll(/\$\((\w+)\)/g))
        assert.ok(inputs.has(target), `instanceNameFormat names ${target}`);
    });

    it('has inputs of known types, with choices and defaults that fit, each explained', () => {
      for (const input of task.inputs) {
        const [type = '', connection] = input.type.split(':');
        if (type === 'connectedService')
          assert.ok(CONNECTIONS.has(connection ?? ''), `${input.name}: ${input.type}`);
        else assert.ok(INPUT_TYPES.has(type), `${input.name}: ${input.type}`);
        const choices = Object.keys(input.options ?? {});
        assert.equal(choices.length > 0, type === 'pickList' || type === 'radio', `${input.name}: options`);
        if (choices.length > 0 && input.defaultValue) assert.ok(choices.includes(input.defaultValue));
        assert.match(input.helpMarkDown ?? '', /\.$/, `${input.name} has no help`);
      }
    });

    it('has the version of the extension, an icon and a bundle of its own', () => {
      const { Major, Minor, Patch } = task.version;
      assert.equal(`${Major}.${Minor}.${Patch}`, extension.version);
      const icon = readFileSync(join(ROOT, 'tasks', name, 'icon.png'));
      assert.equal(icon.toString('latin1', 1, 4), 'PNG');
      assert.deepEqual([icon.readUInt32BE(16), icon.readUInt32BE(20)], [32, 32]);
      assert.ok(existsSync(join(ROOT, 'tasks', name, 'main.ts')), 'no main.ts');
      assert.ok(textOf(`tasks/${name}/main.ts`).split('\n').length < 40, 'main.ts is more than an entry');
    });
  });

describe('the extension', () => {
  it('contributes exactly the tasks that there are', () => {
    const contributed = extension.contributions
      .filter(({ type }) => type === 'ms.vss-distributed-task.task')
      .map(({ properties }) => properties.name);
    assert.deepEqual([...contributed].sort(), names.map((name) => `tasks/${name}`).sort());
    assert.equal(new Set(names.map((name) => manifest(name).id)).size, names.length, 'two tasks share an id');
  });

  it('has the version of the package and an icon of 128 pixels', () => {
    assert.equal((JSON.parse(textOf('package.json')) as Extension).version, extension.version);
    const icon = readFileSync(join(ROOT, extension.icons.default));
    assert.deepEqual([icon.readUInt32BE(16), icon.readUInt32BE(20)], [128, 128]);
  });

  // The published schema is reference data beside the repository; NODE_CYCLE_TASK_SCHEMA names it where it is.
  const schema = process.env['NODE_CYCLE_TASK_SCHEMA'];
  if (schema !== undefined)
    it('has task manifests that the published schema accepts', () => {
      const validate = new AjvDraft04({ strict: false, unicodeRegExp: false }).compile(
        JSON.parse(readFileSync(schema, 'utf8')) as object,
      );
      for (const name of names)
        assert.ok(validate(manifest(name)), `${name}: ${JSON.stringify(validate.errors, undefined, 1)}`);
    });
});
