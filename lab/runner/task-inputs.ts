/** The inputs of one task step: defaults, checks, and service connections by name. */
import type { TaskInput, TaskManifest } from './task-manifest.ts';
import type { TaskAction } from './steps.ts';
import { refusal, sameName, type Position } from './tree.ts';

/** A service connection. `data` is neither masked nor hidden; `authParameters` are secret. */
export interface Endpoint {
  id: string;
  url: string;
  scheme: string;
  authParameters: Record<string, string>;
  data?: Record<string, string>;
}

export interface ResolvedInputs {
  /** By the name in task.json. */
  values: Record<string, string>;
  /** The service connections that the inputs name. */
  endpoints: Endpoint[];
}

const isMacro = (value: string): boolean => value.includes('$(');

/**
 * @param expand replaces macros; the identity for the check before the run.
 * @throws CodedError NC9105 for unknown inputs, missing ones, and values that the type refuses.
 */
export function resolveInputs(
  manifest: TaskManifest,
  action: TaskAction,
  endpoints: Readonly<Record<string, Endpoint>>,
  expand: (text: string) => string,
  at: Position,
): ResolvedInputs {
  if (manifest.majorVersion !== action.majorVersion) {
    throw refusal(
      'NC9105',
      at,
      `${action.task}@${action.majorVersion} is wanted, the task.json has version ${manifest.majorVersion}.`,
    );
  }
  const given = new Map<string, { value: string; at: Position }>();
  for (const input of action.inputs) {
    const declared = manifest.inputs.find((candidate) =>
      [candidate.name, ...(candidate.aliases ?? [])].some((name) => sameName(name, input.name)),
    );
    if (!declared) {
      const known = manifest.inputs.map((candidate) => candidate.name).join(', ') || 'none';
      throw refusal('NC9105', input.at, `unknown input '${input.name}' of ${action.task}; known: ${known}.`);
    }
    given.set(declared.name, { value: expand(input.value).trim(), at: input.at });
  }
  const values: Record<string, string> = {};
  for (const { name, defaultValue } of manifest.inputs) {
    values[name] = given.get(name)?.value ?? String(defaultValue ?? '').trim();
  }
  const named: Endpoint[] = [];
  for (const input of manifest.inputs) {
    const where = given.get(input.name)?.at ?? at;
    const value = values[input.name] ?? '';
    if (value === '') {
      if (input.required === true && isVisible(input.visibleRule, values)) {
        throw refusal('NC9105', where, `the input '${input.name}' of ${action.task} is required and empty.`);
      }
      continue;
    }
    if (isMacro(value)) continue;
    checkValue(input, value, where);
    if (!input.type.startsWith('connectedService:')) continue;
    // As NuGetAuthenticate takes its connections: names between commas, which become ids between commas.
    const several = input.properties?.['MultiSelectFlatList'] === 'True';
    const found = (several ? value.split(',') : [value]).map((one) => {
      const name = one.trim();
      const connection = Object.entries(endpoints).find(
        ([connectionName, endpoint]) => sameName(connectionName, name) || endpoint.id === name,
      )?.[1];
      if (connection !== undefined) return connection;
      const known = Object.keys(endpoints).join(', ') || 'none';
      throw refusal(
        'NC9105',
        where,
        `no service connection '${name}' for '${input.name}'; there are: ${known}.`,
      );
    });
    values[input.name] = found.map(({ id }) => id).join(',');
    named.push(...found);
  }
  return { values, endpoints: named };
}

function checkValue(input: TaskInput, value: string, at: Position): void {
  const expected = (what: string): Error =>
    refusal('NC9105', at, `expected ${what} for the input '${input.name}', found '${value}'.`);
  if (input.type === 'boolean' && !/^(true|false)$/i.test(value)) throw expected('true or false');
  const options = Object.keys(input.options ?? {});
  if ((input.type === 'pickList' || input.type === 'radio') && options.length > 0) {
    if (!options.some((option) => sameName(option, value))) throw expected(`one of ${options.join(', ')}`);
  }
}

/** `a = x && b != y`, or with `||`. What a rule hides is not required. */
function isVisible(rule: string | undefined, values: Readonly<Record<string, string>>): boolean {
  if (rule === undefined || rule.trim() === '') return true;
  const test = (term: string): boolean => {
    const match = /^\s*(\w+)\s*(!=|==?)\s*(.*?)\s*$/.exec(term);
    if (!match) return false;
    const [, name = '', operator, wanted = ''] = match;
    return sameName(values[name] ?? '', wanted) === (operator !== '!=');
  };
  return rule.includes('||') ? rule.split('||').some(test) : rule.split('&&').every(test);
}
