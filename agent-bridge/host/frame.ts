/** How a child marks its result among everything else that it prints; see scripts.ts. */
export const RESULT_PREFIX = '##NC-RESULT ';
/** Exit code of a failure that the child understands and names in its frame. */
export const FAILURE_EXIT = 3;
