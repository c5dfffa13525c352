/** Variables of a job: names without case, macros `$(name)`, and the names that they get in an environment. */

export interface Variables {
  get(name: string): string | undefined;
  isSecret(name: string): boolean;
  isReadonly(name: string): boolean;
  set(name: string, value: string, flags?: { secret?: boolean; readonly?: boolean }): void;
  list(): { name: string; value: string; secret: boolean }[];
  /** A copy that later changes do not reach. */
  copy(): Variables;
}

interface Stored {
  name: string;
  value: string;
  secret: boolean;
  readonly: boolean;
}

const MAX_NESTED = 50;

export function createVariables(initial: Iterable<Stored> = []): Variables {
  const stored = new Map<string, Stored>();
  for (const item of initial) stored.set(item.name.toLowerCase(), { ...item });
  return {
    get: (name) => stored.get(name.toLowerCase())?.value,
    isSecret: (name) => stored.get(name.toLowerCase())?.secret ?? false,
    isReadonly: (name) => stored.get(name.toLowerCase())?.readonly ?? false,
    set: (name, value, flags = {}) => {
      const before = stored.get(name.toLowerCase());
      stored.set(name.toLowerCase(), {
        name: before?.name ?? name,
        value,
        // Once secret, always secret.
        secret: flags.secret === true || before?.secret === true,
        readonly: flags.readonly === true || before?.readonly === true,
      });
    },
    list: () => [...stored.values()].map(({ name, value, secret }) => ({ name, value, secret })),
    copy: () => createVariables(stored.values()),
  };
}

/**
 * Replaces `$(name)`. Unknown names stay as they are; a value that was put in is not looked at again, but the inner
 * one of `$($(a))` is found (facts/azure-pipelines.md).
 */
export function expandMacros(text: string, get: (name: string) => string | undefined): string {
  let expanded = text;
  let from = 0;
  for (;;) {
    const start = expanded.indexOf('$(', from);
    if (start < 0) return expanded;
    const end = expanded.indexOf(')', start + 2);
    if (end < 0) return expanded;
    const value = get(expanded.slice(start + 2, end));
    if (value === undefined) from = start + 1;
    else {
      expanded = expanded.slice(0, start) + value + expanded.slice(end + 1);
      from = start + value.length;
    }
  }
}

/** Variables that name other variables are resolved once, when the job begins. */
export function resolveNested(variables: Variables): void {
  const resolve = (name: string, path: readonly string[]): string | undefined => {
    const value = variables.get(name);
    if (value === undefined || path.includes(name.toLowerCase()) || path.length > MAX_NESTED)
      return undefined;
    return expandMacros(value, (inner) => resolve(inner, [...path, name.toLowerCase()]));
  };
  for (const { name, value } of variables.list()) {
    if (!value.includes('$(')) continue;
    const expanded = resolve(name, []);
    const secret = [...value.matchAll(/\$\(([^()]+)\)/g)].some((match) => variables.isSecret(match[1] ?? ''));
    if (expanded !== undefined) variables.set(name, expanded, { secret });
  }
}

/** Only `.` and space become `_` (facts/azure-pipelines.md). */
export function environmentName(name: string): string {
  return name.replace(/[. ]/g, '_').toUpperCase();
}
