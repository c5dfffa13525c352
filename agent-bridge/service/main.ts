/** The serving bundle, `bridge.cjs`. */
import { commandPorts, endWith } from './process-adapter.ts';
import { runCommand } from './commands.ts';

endWith(runCommand(process.argv.slice(2), commandPorts(process.argv[1] ?? '')));
