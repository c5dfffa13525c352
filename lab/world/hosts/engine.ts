/**
 * The PowerShell seam of a modelled host: a script's name and the JSON on its stdin in, its output and exit code
 * out. Each script takes time and may be killed in its middle; what it had done by then stays done.
 */
import type { ScriptName, ScriptRequest } from '../../../agent-bridge/host/scripts.ts';
import { FAILURE_EXIT, RESULT_PREFIX, SCRIPTS } from '../../../agent-bridge/host/scripts.ts';
import type { Timing } from '../timing.ts';
import type { World } from '../world.ts';
import type { Host, Hosts } from './hosts.ts';
import type { Power } from './power.ts';
import { NoMemory } from './power.ts';
import { scriptHandlers } from './scripts.ts';

export interface EngineResult {
  stdout: string;
  stderr: string;
  exitCode: number;
}

export interface EngineContext {
  world: World;
  timing: Timing;
  host: Host;
  hosts: Hosts;
  power: Power;
}

/** A failure that the script itself understands. */
export class ScriptRefusal extends Error {
  constructor(readonly error: string) {
    super(error);
    this.name = 'ScriptRefusal';
  }
}

/** The child is gone; nothing of it is left to answer. */
export class Killed extends Error {
  constructor() {
    super('killed');
    this.name = 'Killed';
  }
}

/** As PowerShell ends when the script file is not there. */
const MISSING_SCRIPT_EXIT = 64;

export async function runScript(
  context: EngineContext,
  file: string,
  stdin: string,
  signal?: AbortSignal,
): Promise<EngineResult> {
  const name = file.replace(/^.*[\\/]/, '').replace(/\.ps1$/, '');
  if (!(name in scriptHandlers)) {
    const stderr = `The argument '${file}' is not recognized as the name of a script file.\n`;
    return { stdout: '', stderr, exitCode: MISSING_SCRIPT_EXIT };
  }
  const log: string[] = [];
  const request = readRequest(name as ScriptName, stdin);
  if (typeof request === 'string') return { stdout: '', stderr: `${request}\n`, exitCode: 1 };
  const frame = (body: unknown): string =>
    [...log, `${RESULT_PREFIX}${request.nonce} ${JSON.stringify(body)}`, ''].join('\r\n');
  try {
    const handler = scriptHandlers[request.script as keyof typeof scriptHandlers] as (
      context: EngineContext,
      input: unknown,
      run: ScriptRun,
    ) => unknown;
    const result = await handler(context, request.input, { say: (line) => void log.push(line), signal });
    return { stdout: frame(result), stderr: '', exitCode: 0 };
  } catch (error) {
    if (error instanceof ScriptRefusal) {
      return { stdout: frame({ error: error.error }), stderr: '', exitCode: FAILURE_EXIT };
    }
    if (error instanceof Killed) return { stdout: log.join('\r\n'), stderr: '', exitCode: 137 };
    if (error instanceof NoMemory)
      return { stdout: log.join('\r\n'), stderr: `${error.message}\r\n`, exitCode: 1 };
    throw error;
  }
}

export interface ScriptRun {
  say(line: string): void;
  signal: AbortSignal | undefined;
}

function readRequest(name: ScriptName, stdin: string): ScriptRequest | string {
  let document: Partial<ScriptRequest>;
  try {
    document = JSON.parse(stdin.replace(/^\uFEFF/, '')) as Partial<ScriptRequest>;
  } catch {
    return 'ConvertFrom-Json : Invalid JSON primitive.';
  }
  if (document.v !== 1 || document.script !== name || !/^[0-9a-f]{32}$/.test(document.nonce ?? '')) {
    return `${name}: the request is not one of version 1 for this script`;
  }
  const input = SCRIPTS[name].input.safeParse(document.input);
  if (!input.success)
    return `${name}: ${input.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; ')}`;
  return { ...document, input: input.data } as ScriptRequest;
}
