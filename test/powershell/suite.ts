/** A suite on the engine: skipped, by its name, where there is none. */
import { engineProgram, powerShell } from './engine.ts';
import type { PowerShell } from './engine.ts';

/** A build and some starts, on a machine that does other things too. */
const SUITE_MS = 300_000;

/** `engine()` may be called inside hooks and tests. */
export function onPowerShell(title: string, suite: (engine: () => PowerShell) => void): void {
  onEngine(title, powerShell, suite);
}

/** Syntax trees and batches need the program in engine/, also where `pwsh` is installed. */
export function onEngineProgram(title: string, suite: (engine: () => PowerShell) => void): void {
  onEngine(title, engineProgram, suite);
}

function onEngine(
  title: string,
  find: () => Promise<PowerShell | string>,
  suite: (engine: () => PowerShell) => void,
): void {
  describe(title, function () {
    this.timeout(SUITE_MS);
    let found: PowerShell | undefined;
    before(async function () {
      const engine = await find();
      if (typeof engine === 'string') {
        if (process.env['CI'] === 'true') throw new Error(`"${title}" needs a PowerShell engine: ${engine}`);
        console.log(`        skipped: ${engine}`);
        this.skip();
      }
      found = engine;
    });
    suite(() => {
      if (!found) throw new Error('no engine');
      return found;
    });
  });
}
