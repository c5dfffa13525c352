/** Inputs that must be one of a few words. */
import { CodedError } from '../ports/errors.ts';

export function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === value);
  if (found === undefined)
    throw new CodedError('NC5005', `The input "${name}" is "${value}"; expected ${allowed.join(', ')}.`);
  return found;
}
