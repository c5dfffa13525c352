/**
 * The adapter that makes a `Repo`: one branch of one repository, by git's plumbing in a bare clone that has no
 * worktree. Foreign text (branch, path, message, file) reaches git as a full ref name, on stdin, or behind an
 * object id, so none of it can be read as an option. Credentials travel in the environment, never in argv.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CodedError } from './errors.ts';
import { PortError } from './ports.ts';
import type { Repo, Run, RunResult, Wait } from './ports.ts';
import type { Secret } from './secret.ts';

export type GitCredential =
  | { kind: 'none' }
  /** `keyFile` is a private key only its owner can read; `knownHostsFile` holds the pinned host keys. */
  | { kind: 'sshKey'; keyFile: string; knownHostsFile: string }
  /** Sent as an Authorization header to this repository's URL only. For `basic` it is base64 of `user:password` (RFC 7617). */
  | { kind: 'token'; token: Secret; scheme: 'basic' | 'bearer' };

export interface GitOptions {
  run: Run;
  /** What the child may see of our environment: PATH at least. */
  env: Record<string, string>;
  url: string;
  branch: string;
  /** Folder of the bare clone; made when missing, safe to delete between two uses. */
  cacheDir: string;
  credential: GitCredential;
  author: { name: string; email: string };
}

/** git says nothing about sizes beforehand; a history of 1,000 versions of a 200 KB file still fits. */
const KEEP_BYTES = 256 * 1024 * 1024;
/** A ref of a process that has long ended; each process fetches into a ref of its own, so a killed one's lock stops nobody. */
const OLD_REF_MS = 2 * 24 * 60 * 60 * 1000;
const REFS = 'refs/node-cycle';

/** A branch of this prefix is ours alone: a pull request comes from it. */
const OWN_BRANCHES = 'node-cycle/';

export interface GitRepo extends Repo {
  /**
   * Makes or moves a branch of our own (`node-cycle/…`) to a commit, for a pull request. What it pointed to before was
   * ours too.
   */
  offer(commit: string, branch: string, wait: Wait): Promise<'pushed' | { refused: string }>;
}

export function gitRepo(options: GitOptions): GitRepo {
  const url = requireUrl(options.url);
  const branchRef = requireRef(options.branch);
  const ownRef = `${REFS}/${randomUUID()}`;
  const env = environment(options, url);
  let prepared: Promise<void> | undefined;

  const git = async (
    args: readonly string[],
    wait: Wait,
    more: { stdin?: string; env?: Record<string, string> } = {},
  ): Promise<RunResult> =>
    options.run({
      file: 'git',
      args: ['--git-dir', options.cacheDir, ...args],
      env: { ...env, ...more.env },
      stdin: more.stdin ?? '',
      keepBytes: KEEP_BYTES,
      dieWithParent: true,
      deadlineMs: wait.deadlineMs,
      signal: wait.signal,
    });
  const must = async (
    args: readonly string[],
    wait: Wait,
    more: Parameters<typeof git>[2] = {},
  ): Promise<string> => {
    const result = await git(args, wait, more);
    if (result.exitCode !== 0) throw failure(`git ${args[0] ?? ''}`, result);
    return result.stdout;
  };
  const prepare = (wait: Wait) => (prepared ??= makeClone(options.cacheDir, must, wait));
  const ready = async (wait: Wait) => {
    try {
      await prepare(wait);
    } catch (error) {
      prepared = undefined;
      throw error;
    }
  };

  const blobs = async (commit: string, paths: readonly string[], wait: Wait) =>
    readBatch(
      await must(['cat-file', '--batch'], wait, { stdin: paths.map((p) => `${commit}:${p}\n`).join('') }),
    );

  return {
    async tip(wait) {
      await ready(wait);
      await must(
        [
          'fetch',
          '--quiet',
          '--no-tags',
          '--no-write-fetch-head',
          '--no-recurse-submodules',
          '--',
          url,
          `+${branchRef}:${ownRef}`,
        ],
        wait,
      );
      return (await must(['rev-parse', '--verify', '--quiet', `${ownRef}^{commit}`], wait)).trim();
    },

    async read(commit, path, wait) {
      await ready(wait);
      return (await blobs(requireCommit(commit), [requirePath(path)], wait))[0];
    },

    async list(commit, dir, wait) {
      await ready(wait);
      const folder = dir === '' || dir === '.' ? '' : requirePath(dir);
      const result = await git(['ls-tree', '-z', '--name-only', `${requireCommit(commit)}:${folder}`], wait);
      if (result.exitCode === 0) return result.stdout.split('\0').filter((name) => name !== '');
      if (
        /not a tree object|does not exist in|exists on disk, but not in|Not a valid object name/.test(
          result.stderr,
        )
      )
        return [];
      throw failure('git ls-tree', result);
    },

    async history(commit, path, count, wait) {
      await ready(wait);
      const file = requirePath(path);
      const log = await must(
        [
          'log',
          '--full-history',
          '--format=%H',
          `--max-count=${Math.max(1, Math.trunc(count))}`,
          requireCommit(commit),
          '--',
          file,
        ],
        wait,
      );
      const commits = log.split('\n').filter((line) => line !== '');
      const stdin = commits.map((id) => `${id}:${file}\n`).join('');
      const versions = readBatch(await must(['cat-file', '--batch'], wait, { stdin }));
      return versions.filter((text) => text !== undefined);
    },

    async commit(base, files, message, wait) {
      await ready(wait);
      const parent = requireCommit(base);
      const index = join(options.cacheDir, `node-cycle-index-${randomUUID()}`);
      const withIndex = { GIT_INDEX_FILE: index };
      try {
        await must(['read-tree', parent], wait, { env: withIndex });
        let entries = '';
        for (const [path, text] of Object.entries(files)) {
          const file = requirePath(path);
          const blob = (await must(['hash-object', '-w', '--stdin'], wait, { stdin: text })).trim();
          const staged = await must(['ls-files', '--stage', '-z', '--', file], wait, { env: withIndex });
          const mode = /^(100755|100644) /.exec(staged)?.[1] ?? '100644';
          entries += `${mode} ${blob}\t${file}\0`;
        }
        await must(['update-index', '-z', '--add', '--index-info'], wait, { stdin: entries, env: withIndex });
        const tree = (await must(['write-tree'], wait, { env: withIndex })).trim();
        return (await must(['commit-tree', '-p', parent, '-F', '-', tree], wait, { stdin: message })).trim();
      } finally {
        await rm(index, { force: true });
        await rm(`${index}.lock`, { force: true });
      }
    },

    async push(commit, expected, wait) {
      await ready(wait);
      const [ours, theirs] = [requireCommit(commit), requireCommit(expected)];
      // With a lease alone git would also throw commits away; ours must stand on the tip that was read.
      const onTop = await git(['merge-base', '--is-ancestor', theirs, ours], wait);
      if (onTop.exitCode !== 0) {
        throw new PortError(
          'protocol',
          'repo',
          `${ours} is not based on ${theirs}: pushing it would lose commits`,
        );
      }
      const result = await git(
        [
          'push',
          '--porcelain',
          '--no-verify',
          `--force-with-lease=${branchRef}:${theirs}`,
          '--',
          url,
          `${ours}:${branchRef}`,
        ],
        wait,
      );
      return pushOutcome(result);
    },

    async offer(commit, branch, wait) {
      await ready(wait);
      const ref = requireRef(branch);
      if (!branch.startsWith(OWN_BRANCHES))
        throw new CodedError('NC4060', `Expected a branch below ${OWN_BRANCHES}, found ${branch}.`);
      const spec = `+${requireCommit(commit)}:${ref}`;
      const outcome = pushOutcome(await git(['push', '--porcelain', '--no-verify', '--', url, spec], wait));
      return outcome === 'moved' ? { refused: 'somebody else pushed to it at the same moment' } : outcome;
    },

    async isAncestor(ancestor, descendant, wait) {
      await ready(wait);
      const args = ['merge-base', '--is-ancestor', requireCommit(ancestor), requireCommit(descendant)];
      const result = await git(args, wait);
      if (result.exitCode === 0 || result.exitCode === 1) return result.exitCode === 0;
      throw failure('git merge-base', result);
    },
  };
}

async function makeClone(
  dir: string,
  must: (args: readonly string[], wait: Wait) => Promise<string>,
  wait: Wait,
): Promise<void> {
  await mkdir(dirname(dir), { recursive: true, mode: 0o700 });
  await must(['init', '--quiet', '--bare'], wait);
  const refs = join(dir, ...REFS.split('/'));
  const names = await readdir(refs).catch(() => []);
  const limit = Date.now() - OLD_REF_MS;
  for (const name of names) {
    const found = await stat(join(refs, name)).catch(() => undefined);
    if (found && found.mtimeMs < limit) await rm(join(refs, name), { force: true });
  }
}

function environment(options: GitOptions, url: string): Record<string, string> {
  const { credential, author } = options;
  const config: [string, string][] = [
    // Objects of a killed run are not worth a repack in the middle of a cycle, and a repack could race ours.
    ['gc.auto', '0'],
    ['maintenance.auto', 'false'],
    ['core.hooksPath', '/dev/null'],
    ['credential.helper', ''],
  ];
  const env: Record<string, string> = {
    ...options.env,
    HOME: options.cacheDir,
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '',
    GIT_LITERAL_PATHSPECS: '1',
    GIT_ALLOW_PROTOCOL: 'file:git:http:https:ssh',
    GIT_AUTHOR_NAME: author.name,
    GIT_AUTHOR_EMAIL: author.email,
    GIT_COMMITTER_NAME: author.name,
    GIT_COMMITTER_EMAIL: author.email,
  };
  const sshOptions = '-F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes';
  if (credential.kind === 'sshKey') {
    env['GIT_SSH_VARIANT'] = 'ssh';
    env['GIT_SSH_COMMAND'] =
      `ssh ${sshOptions} -i ${quoted(credential.keyFile)} -o ${quoted(`UserKnownHostsFile="${credential.knownHostsFile}"`)}`;
  } else if (credential.kind === 'token') {
    const value = `${credential.scheme === 'bearer' ? 'Bearer' : 'Basic'} ${credential.token.reveal()}`;
    config.push([`http.${url}.extraHeader`, `Authorization: ${value}`]);
  }
  env['GIT_CONFIG_COUNT'] = String(config.length);
  config.forEach(([key, value], index) => {
    env[`GIT_CONFIG_KEY_${index}`] = key;
    env[`GIT_CONFIG_VALUE_${index}`] = value;
  });
  return env;
}

/** git hands GIT_SSH_COMMAND to a shell. */
function quoted(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`;
}

/** `cat-file --batch`: a header line, the bytes, a newline; or `… missing`. */
function readBatch(output: string): (string | undefined)[] {
  const bytes = Buffer.from(output, 'utf8');
  const found: (string | undefined)[] = [];
  for (let at = 0; at < bytes.length;) {
    const newline = bytes.indexOf(10, at);
    const header = bytes.subarray(at, newline < 0 ? bytes.length : newline).toString('utf8');
    at = newline < 0 ? bytes.length : newline + 1;
    const match = /^[0-9a-f]{40,64} (\w+) (\d+)$/.exec(header);
    if (!match) {
      found.push(undefined);
      continue;
    }
    const size = Number(match[2]);
    const body = bytes.subarray(at, at + size);
    // Bytes that are not UTF-8 were replaced on the way and have another length now: writing them back would lose them.
    if (
      body.length !== size ||
      (at + size < bytes.length && bytes[at + size] !== 10) ||
      body.includes('\uFFFD')
    ) {
      throw new PortError('protocol', 'repo', 'a file that was asked for is not UTF-8 text');
    }
    found.push(match[1] === 'blob' ? body.toString('utf8') : undefined);
    at += size + 1;
  }
  return found;
}

const RACE =
  /stale info|fetch first|non-fast-forward|cannot lock ref|incorrect old value|failed to update ref|remote ref updated since checkout/;

function pushOutcome(result: RunResult): 'pushed' | 'moved' | { refused: string } {
  const line = result.stdout.split('\n').find((text) => /^[ +*=!-]\t/.test(text));
  if (line === undefined) throw failure('git push', result);
  if (!line.startsWith('!')) return 'pushed';
  if (RACE.test(line)) return 'moved';
  const said = result.stderr
    .split('\n')
    .filter((text) => text.startsWith('remote:'))
    .map((text) => text.slice('remote:'.length).trim())
    .filter((text) => text !== '');
  return { refused: [line.split('\t')[2] ?? line, ...said].join('; ') };
}

function failure(what: string, result: RunResult): PortError {
  const said = result.stderr.trim().split('\n').slice(-5).join(' / ');
  const kind = /Host key verification failed/.test(said)
    ? 'hostkey'
    : /Authentication failed|could not read (Username|Password)|Permission denied|The requested URL returned error: 40[13]/.test(
          said,
        )
      ? 'auth'
      : /couldn't find remote ref|does not appear to be a git repository|not found|unknown revision|bad object|Not a valid/i.test(
            said,
          )
        ? 'notfound'
        : /Could not resolve host|unable to connect|Failed to connect|Connection (refused|timed out)|unable to access/i.test(
              said,
            )
          ? 'unreachable'
          : 'protocol';
  return new PortError(
    kind,
    'repo',
    `${what}: exit ${result.exitCode ?? result.signal}: ${said}`,
    what === 'git push',
  );
}

function requireCommit(id: string): string {
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(id)) return id;
  throw new CodedError(
    'NC4060',
    `Expected a commit as 40 hex digits, found ${JSON.stringify(id.slice(0, 80))}.`,
  );
}

/** A branch becomes a full ref name, so that a branch called like an option stays a name. The rules are git-check-ref-format's. */
function requireRef(branch: string): string {
  const bad =
    branch === '' ||
    /[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|\.$|\/$|^\//.test(branch) ||
    branch.split('/').some((part) => part.startsWith('.') || part.endsWith('.lock'));
  if (bad)
    throw new CodedError('NC4060', `Expected a branch name, found ${JSON.stringify(branch.slice(0, 80))}.`);
  return `refs/heads/${branch}`;
}

function requireUrl(url: string): string {
  if (url !== '' && !url.startsWith('-') && !/[\x00-\x1f\x7f]|::/.test(url.replace(/\[[0-9a-fA-F:.]+\]/, '')))
    return url;
  throw new CodedError(
    'NC4060',
    `Expected a repository's URL or path, found ${JSON.stringify(url.slice(0, 80))}.`,
  );
}

function requirePath(path: string): string {
  const parts = path.split('/');

  const bad =
    /[\x00-\x1f\x7f]/.test(path) ||
    parts.some((p) => p === '' || p === '.' || p === '..' || p.toLowerCase() === '.git');
  if (!bad) return path;
  throw new CodedError(
    'NC4060',
    `Expected a file's path in the repository, found ${JSON.stringify(path.slice(0, 80))}.`,
  );
}
