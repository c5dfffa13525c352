/** The command line: `--name value`, flags without value, and positions. What is not known is an error. */
import { CodedError } from '../../ports/errors.ts';

export interface CommandLine {
  words: string[];
  options: ReadonlyMap<string, string>;
  flags: ReadonlySet<string>;
}

export function readCommandLine(
  argv: readonly string[],
  valued: readonly string[],
  flags: readonly string[],
): CommandLine {
  const words: string[] = [];
  const options = new Map<string, string>();
  const set = new Set<string>();
  for (let i = 0; i < argv.length; i += 1) {
    const word = argv[i] ?? '';
    const [name = '', joined] = word.startsWith('--') ? word.slice(2).split(/=(.*)/s, 2) : [''];
    if (name === '') words.push(word);
    else if (flags.includes(name)) set.add(name);
    else if (valued.includes(name)) {
      const value = joined ?? argv[(i += 1)];
      if (value === undefined) throw new CodedError('NC2010', `--${name} needs a value.`);
      options.set(name, value);
    } else throw new CodedError('NC2010', `--${name} is not known here.`);
  }
  return { words, options, flags: set };
}
