/**
 * The pipeline's files against the published schema of Azure Pipelines, by the service's own language server, with
 * our tasks added to it. The server does not expand templates, so both are checked: the files as they are written,
 * and what they expand to.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { stringify } from 'yaml';
import { expand, GATES, manifest, pipelineFiles, PIPELINE, TASK_NAMES } from './files.ts';

interface Finding {
  range: { start: { line: number } };
  message: string;
}
interface LanguageService {
  configure(settings: object): void;
  doValidation(document: object, parsed: object): Promise<Finding[]>;
}
/** The package's types do not load as an ES module; this is what of it is used. */
interface LanguageServer {
  getLanguageService(
    schemaOf: () => Promise<object>,
    contributions: [],
    schemaUriOf: () => Promise<string>,
    workspace: { resolveRelativePath(path: string): string },
  ): LanguageService;
  TextDocument: { create(uri: string, language: string, version: number, text: string): object };
  parse(text: string, tags: []): object;
}
interface Schema {
  definitions: { task: { properties: { task: { anyOf: object[] } }; anyOf: object[] } };
}

// The published schema is reference data beside the repository; NODE_CYCLE_PIPELINE_SCHEMA names it where it is.
const schemaPath = process.env['NODE_CYCLE_PIPELINE_SCHEMA'];
if (schemaPath !== undefined)
  describe("the service's schema", () => {
    let check: (text: string) => Promise<string[]>;

    before(() => {
      const server = createRequire(import.meta.url)('azure-pipelines-language-service') as LanguageServer;
      const schema = withOurTasks(JSON.parse(readFileSync(schemaPath, 'utf8')) as Schema);
      const service = server.getLanguageService(
        () => Promise.resolve(schema),
        [],
        () => Promise.resolve('file:///schema.json'),
        { resolveRelativePath: (path) => path },
      );
      service.configure({
        validate: true,
        isKubernetes: false,
        schemas: [{ uri: 'file:///schema.json', fileMatch: ['*'], schema }],
      });
      check = async (text) => {
        const document = server.TextDocument.create('file:///pipeline.yml', 'azure-pipelines', 1, text);
        const found = await quietly(() => service.doValidation(document, server.parse(text, [])));
        const lines = text.split('\n');
        return found
          .map(({ range, message }) => ({ line: range.start.line, text: lines[range.start.line] ?? '', message }))
          .filter((finding) => !isUnexpanded(finding))
          .map(({ line, text: at, message }) => `${line + 1}: ${message} (${at.trim()})`);
      };
    });

    for (const [path, text] of Object.entries(pipelineFiles())) {
      it(`accepts ${path} as it is written`, async () => {
        assert.deepEqual(await check(text), []);
      });
    }

    for (const gates of GATES) {
      it(`accepts what the pipeline with gates: ${gates} expands to`, async () => {
        assert.deepEqual(await check(await expanded(gates, 2)), []);
      });
    }

    // A check that cannot fail is none: each of these must be found, and the text must really have changed.
    const SEEDED: [what: string, from: string | RegExp, to: string, finding: RegExp][] = [
      ['a task that does not exist', 'ProvisionNode@0', 'ProvisionNodes@0', /ProvisionNodes|not accepted/],
      ['a version that does not exist', 'DeleteVm@0', 'DeleteVm@9', /DeleteVm@9|not accepted/],
      ['an unknown input', 'oldNode: $(oldNode)', 'oldnodes: $(oldNode)', /Unexpected property oldnodes/],
      ['a required input that is missing', / +bridge: .*\n/, '', /Missing property "bridge"/],
      ['a value outside of a pick list', 'role: controlplane', 'role: worker', /not accepted/],
      ['a misspelt key of a stage', 'isSkippable:', 'isSkipable:', /Unexpected property isSkipable/],
      ['a misspelt key of a job', 'timeoutInMinutes:', 'timeoutMinutes:', /Unexpected property timeoutMinutes/],
      ['a wrong type', /timeoutInMinutes: \d+/, 'timeoutInMinutes: [1]', /./],
      ['an unknown value of onTimeout', 'onTimeout: reject', 'onTimeout: refuse', /not accepted/],
      ['a pool under the wrong key', '\npool:', '\npools:', /Unexpected property pools/],
    ];
    for (const [what, from, to, finding] of SEEDED) {
      it(`finds ${what}`, async () => {
        const text = await expanded('manual', 1);
        const broken = text.replace(from, to);
        assert.notEqual(broken, text);
        const found = await check(broken);
        assert.ok(
          found.some((one) => finding.test(one)),
          `expected ${String(finding)}, found ${found.join('; ') || 'nothing'}`,
        );
      });
    }

    it('finds an unknown key in the file as it is written', async () => {
      const text = pipelineFiles()[PIPELINE] ?? '';
      const found = await check(text.replace('\ntrigger:', '\ntriggers:'));
      assert.match(found.join('\n'), /Unexpected property triggers/);
    });
  });

/** Unquoted as a person would write it: `true` and numbers keep their types. */
async function expanded(gates: string, maxNodes: number): Promise<string> {
  return stringify((await expand({ gates, maxNodes })).plain, { schema: 'failsafe', lineWidth: 0 });
}

/** The server writes to the console what it loads. */
async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const { log } = console;
  console.log = () => undefined;
  try {
    return await work();
  } finally {
    console.log = log;
  }
}

/** The server takes `${{ }}` as the value itself; what it becomes is checked after the expansion. */
function isUnexpanded({ text, message }: { text: string; message: string }): boolean {
  return text.includes('${{') && /does not match the pattern|Value is not accepted/.test(message);
}

function withOurTasks(schema: Schema): Schema {
  const { task } = schema.definitions;
  for (const { name, version, inputs } of TASK_NAMES.map(manifest)) {
    const reference = `${name}@${version.Major}`;
    const properties = inputs.map((input) => [
      input.name,
      input.options ? { enum: Object.keys(input.options) } : { type: input.type === 'boolean' ? 'boolean' : 'string' },
    ]);
    const required = inputs.filter((input) => input.required === true && input.defaultValue === undefined);
    task.properties.task.anyOf.push({ enum: [reference], ignoreCase: 'value' });
    task.anyOf.push({
      properties: {
        task: { pattern: `^${reference}$`, ignoreCase: 'value' },
        inputs: {
          properties: Object.fromEntries(properties) as object,
          additionalProperties: false,
          required: required.map((input) => input.name),
        },
      },
      firstProperty: ['task'],
      required: ['task', 'inputs'],
    });
  }
  return schema;
}
