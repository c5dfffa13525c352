/** The real adapter of `Random`. */
import { randomBytes } from 'node:crypto';
import type { Random } from './ports.ts';

export const random: Random = {
  bytes: (n) => new Uint8Array(randomBytes(n)),
};
