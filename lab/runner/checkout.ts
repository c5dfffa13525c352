/**
 * The agent's work folder: wiped before each job, and filled with the commit that the run was queued at,
 * whatever has been pushed since.
 */
import { spawn } from 'node:child_process';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '../../ports/errors.ts';

export interface WorkFolder {
  root: string;
  /** `Pipeline.Workspace` */
  pipeline: string;
  sources: string;
  temp: string;
}

const MARKER = '.agent-work';

/** @throws CodedError NC9106 when the folder holds something that the runner did not make. */
export async function wipeWorkFolder(root: string): Promise<WorkFolder> {
  await mkdir(root, { recursive: true });
  const entries = await readdir(root);
  if (entries.length > 0 && !entries.includes(MARKER)) {
    throw new CodedError(
      'NC9106',
      `expected an empty folder or one with '${MARKER}', found ${entries.length} entries in ${root}.`,
    );
  }
  for (const entry of entries) {
    if (entry !== MARKER) await rm(join(root, entry), { recursive: true, force: true });
  }
  await writeFile(join(root, MARKER), 'Everything in this folder is deleted before each job.\n');
  const pipeline = join(root, '1');
  const folder = { root, pipeline, sources: join(pipeline, 's'), temp: join(root, '_temp') };
  const made = [folder.sources, join(pipeline, 'a'), join(pipeline, 'b'), join(pipeline, 'TestResults')];
  for (const path of [...made, folder.temp, join(root, '_tool')]) await mkdir(path, { recursive: true });
  return folder;
}

export interface Checkout {
  repository: string;
  commit: string;
}

/** @throws CodedError NC9107 with git's own words. */
export async function checkOut(
  { repository, commit }: Checkout,
  sources: string,
  fetchDepth: number,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const git = (...args: string[]): Promise<void> => runGit(args, sources, onLine, signal);
  await git('init', '--quiet');
  await git('remote', 'add', 'origin', repository);
  const depth = fetchDepth > 0 ? [`--depth=${fetchDepth}`] : [];
  const refs = fetchDepth > 0 ? [commit] : ['+refs/heads/*:refs/remotes/origin/*'];
  await git('fetch', '--quiet', '--force', '--no-tags', ...depth, 'origin', ...refs);
  await git('checkout', '--quiet', '--force', '--detach', commit);
}

function runGit(
  args: string[],
  cwd: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  onLine(`##[command]git ${args.join(' ')}`);
  return new Promise((resolve, reject) => {
    const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_DIR: undefined, GIT_WORK_TREE: undefined };
    const child = spawn('git', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], signal });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => {
      output.split('\n').filter(Boolean).forEach(onLine);
      if (code === 0) resolve();
      else reject(new CodedError('NC9107', `git ${args.join(' ')} ended with ${code}: ${output.trim()}`));
    });
  });
}
