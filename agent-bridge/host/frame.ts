/** How a child marks its result among everything else that it prints; see scripts.ts. */
export { RESULT_PREFIX } from '../protocol/wire.ts';
/** The line with which a session says that a script has ended, and how. */
export const END_PREFIX = '##NC-END ';
/** Exit code of a failure that the child understands and names in its frame. */
export const FAILURE_EXIT = 3;
