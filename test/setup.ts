/**
 * Root hooks of every test process. With CI=true a test that would be skipped fails instead, by name: a part
 * that nobody checks must not look like one that is.
 */
import type { Context, RootHookObject, Runnable, Suite } from 'mocha';

const SKIPPED = 'is skipped, which CI=true does not allow';

export const mochaHooks: RootHookObject = {
  beforeAll(this: Context) {
    if (process.env['CI'] !== 'true' || this.test === undefined) return;
    const root = this.test.parent;
    if (root !== undefined) failPending(root, false);
    failSkipCalls(this.test);
  },
};

/** `it.skip`, `describe.skip`, and `it` without a body. */
function failPending(suite: Suite, inherited: boolean): void {
  const pending = inherited || suite.pending;
  suite.pending = false;
  for (const test of suite.tests) {
    if (!pending && !test.pending) continue;
    test.pending = false;
    test.fn = () => {
      throw new Error(`"${test.fullTitle()}" ${SKIPPED}`);
    };
  }
  for (const inner of suite.suites) failPending(inner, pending);
}

/** `this.skip()` in a test or a hook. */
function failSkipCalls(hook: Runnable): void {
  let owner: object = hook;
  while (!Object.hasOwn(owner, 'skip')) {
    const parent: unknown = Object.getPrototypeOf(owner);
    if (typeof parent !== 'object' || parent === null) return;
    owner = parent;
  }
  Object.defineProperty(owner, 'skip', {
    configurable: true,
    value(this: Runnable) {
      throw new Error(`"${this.fullTitle()}" ${SKIPPED}`);
    },
  });
}
