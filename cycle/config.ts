/**
 * node-cycle.yml: text in, configuration or every fault out. Reads nothing and touches nothing: the caller
 * brings the text.
 */
import { safeParse } from 'zod/mini';
import { configSchema } from './config/schema.ts';
import type { Config } from './config/schema.ts';
import { crossChecks } from './config/checks.ts';
import type { Sections } from './config/checks.ts';
import { findings } from './config/issues.ts';
import { readSource } from './config/source.ts';
import type { Place } from './config/source.ts';
import { pathText } from './config/words.ts';
import { ERRORS } from '../ports/errors.ts';
import type { ErrorCode } from '../ports/errors.ts';

export { configSchema, ROLES } from './config/schema.ts';
export type { Config, Role } from './config/schema.ts';
export { nextOpening, windowOpen } from './config/window.ts';
export type { Window } from './config/window.ts';

export interface ConfigError extends Place {
  code: ErrorCode;
  file: string;
  /** `proxies[0].host`; empty for the file as a whole. */
  path: string;
  expected: string;
  found: string;
  /** What was probably meant. */
  suggestion?: string;
}

/** The whole configuration with its defaults, or all its faults in the order of the file. */
export function loadConfig(text: string, fileName: string): { config: Config } | { errors: ConfigError[] } {
  const source = readSource(text);
  if (source.problems.length > 0)
    return { errors: inOrder(source.problems.map((problem) => ({ ...problem, file: fileName }))) };
  const parsed = safeParse(configSchema, source.data);
  const shapeFaults = parsed.success ? [] : findings(parsed.error.issues, source.data);
  const all = [...shapeFaults, ...crossChecks(parsed.success ? parsed.data : validSections(source.data))];
  if (parsed.success && all.length === 0) return { config: parsed.data };
  return {
    errors: inOrder(
      all.map((fault) => ({
        code: fault.code,
        file: fileName,
        ...(fault.at === 'key' ? source.keyAt(fault.path) : source.valueAt(fault.path)),
        path: pathText(fault.path),
        expected: fault.expected,
        found: fault.found,
        ...(fault.suggestion === undefined ? {} : { suggestion: fault.suggestion }),
      })),
    ),
  };
}

/** One line an error, with its place first so that editors and pipelines can link to it. */
export function renderErrors(errors: readonly ConfigError[]): string {
  return errors
    .map(({ file, line, column, code, path, expected, found, suggestion }) => {
      const where = path === '' ? '' : ` ${path}:`;
      const meant = suggestion === undefined ? '' : ` Did you mean ${suggestion}?`;
      return `${file}:${line}:${column} ${code}${where} ${ERRORS[code].title} Expected ${expected}; found ${found}.${meant}`;
    })
    .join('\n');
}

/** The sections that are valid although another one is not, so that their own contradictions are told as well. */
function validSections(data: unknown): Sections {
  if (typeof data !== 'object' || data === null) return {};
  const valid: Record<string, unknown> = {};
  for (const [section, schema] of Object.entries(configSchema.shape)) {
    const value = Object.hasOwn(data, section) ? (data as Record<string, unknown>)[section] : undefined;
    const parsed = safeParse(schema, value);
    if (parsed.success) valid[section] = parsed.data;
  }
  return valid;
}

function inOrder(errors: ConfigError[]): ConfigError[] {
  return errors.sort((a, b) => a.line - b.line || a.column - b.column);
}
