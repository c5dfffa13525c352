/** The small shapes that the groups of node-cycle.yml are made of. */
import * as z from 'zod/mini';

export const text = () => z.string().check(z.minLength(1));
export const seconds = (fallback: number) =>
  z._default(z.number().check(z.positive(), z.maximum(86_400)), fallback);

/** What docs/config.md and editors say of a key. */
export function doc<T extends z.ZodMiniType>(schema: T, description: string): T {
  z.globalRegistry.add(schema, { description });
  return schema;
}
