/**
 * The lab's `powershell.exe`: same arguments, same stdin, same output; what the script does happens in the world.
 * The bridge gives its children an allow-listed environment, so the world's address is in the wrapper, not in a
 * variable: `engine --world URL --host NAME -- -NoLogo -NoProfile -NonInteractive … -File x.ps1`.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';

/** PowerShell's own exit code for arguments that it does not take. */
const BAD_ARGUMENTS_EXIT = 64;
const OK_STATUS = 200;
const FLAGS = ['-nologo', '-noprofile', '-noninteractive'];

/** The script's path in PowerShell's arguments; undefined when the line is not one that the bridge writes. */
export function scriptOf(argv: readonly string[]): string | undefined {
  const rest = [...argv];
  while (rest.length > 0) {
    const flag = rest.shift()?.toLowerCase() ?? '';
    if (FLAGS.includes(flag)) continue;
    if (flag === '-executionpolicy') rest.shift();
    // Everything after -File is the script and its arguments; the bridge gives none.
    else if (flag === '-file') return rest.length === 1 ? rest[0] : undefined;
    else return rest.length === 0 && flag.endsWith('.ps1') ? flag : undefined;
  }
  return undefined;
}

export async function runEngine(argv: readonly string[]): Promise<number> {
  const split = argv.indexOf('--');
  const own = argv.slice(0, split);
  const world = own[own.indexOf('--world') + 1] ?? '';
  const host = own[own.indexOf('--host') + 1] ?? '';
  const script = scriptOf(argv.slice(split + 1));
  if (split === -1 || script === undefined) {
    process.stderr.write('The argument is not recognized as the name of a script file.\n');
    return BAD_ARGUMENTS_EXIT;
  }
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const call = { host, script, stdin: Buffer.concat(chunks).toString('utf8') };
  const { status, text } = await post(`${world}/engine`, JSON.stringify(call));
  if (status !== OK_STATUS) {
    process.stderr.write(`the lab's world answered ${status}: ${text}\n`);
    return 1;
  }
  const result = JSON.parse(text) as { stdout: string; stderr: string; exitCode: number };
  process.stderr.write(result.stderr);
  await new Promise((resolve) => process.stdout.write(result.stdout, resolve));
  return result.exitCode;
}

/** By node:http, since to load `fetch` takes longer than all the rest: a lab starts this program some hundred times. */
function post(url: string, body: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** One word of a shell's line. */
export const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Writes the executable that the bridge is given as its engine. `program`: node's arguments that start this file. */
export async function writeEngine(
  file: string,
  options: { url: string; host: string; program: readonly string[]; node?: string | undefined },
): Promise<void> {
  const words = [
    options.node ?? process.execPath,
    ...options.program,
    '--world',
    options.url,
    '--host',
    options.host,
    '--',
  ]
    .map(quoted)
    .join(' ');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `#!/bin/sh\nexec ${words} "$@"\n`);
  await chmod(file, 0o755);
}

/** The bundle is CommonJS and calls this at its end; in the tree this file is started by itself. */
export function main(): void {
  runEngine(process.argv.slice(2)).then(
    (code) => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`${(error as Error).message}\n`);
      process.exit(1);
    },
  );
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) main();
