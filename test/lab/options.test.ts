/** What the lab makes of `--engine`. */
import assert from 'node:assert/strict';
import { readSettings } from '../../lab/options.ts';
import { powerShellAtHand } from '../powershell/engine.ts';

const engineOf = (...argv: string[]) => readSettings(argv, false)?.engine;

describe('the engine of a lab', () => {
  const found = powerShellAtHand();
  const file = typeof found === 'string' ? undefined : found.file;

  it('is PowerShell where it is at hand, and otherwise the model', () => {
    assert.equal(engineOf()?.file, file);
  });

  it('is the model when that is asked for, and where only stand-ins are wanted', () => {
    assert.equal(engineOf('--engine', 'model'), undefined);
    assert.equal(engineOf('--stand-ins'), undefined);
  });

  it('is never the model when PowerShell is asked for', () => {
    const asked = () => engineOf('--engine', 'powershell', '--stand-ins');
    if (file === undefined) assert.throws(asked, /NC9001 .*there is none/);
    else assert.equal(asked()?.file, file);
  });

  it('is no other', () => {
    assert.throws(() => engineOf('--engine', 'bash'), /NC9001 .*expected powershell or model/);
  });
});
