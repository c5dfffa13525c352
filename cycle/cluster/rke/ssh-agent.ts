/** An ssh-agent of the task's own: the key goes in by stdin, and never into a file or an argument. */
import { CodedError } from '../../../ports/errors.ts';
import { PortError } from '../../../ports/ports.ts';
import type { Clock, Files, Random, Run, Wait } from '../../../ports/ports.ts';
import type { Secret } from '../../../ports/secret.ts';

export interface SshAgent {
  /** For SSH_AUTH_SOCK. */
  socket: string;
  /** Ends the agent and removes its folder. Safe to call twice. */
  end(): Promise<void>;
}

export interface SshAgentOptions {
  /** An existing private folder, short: a socket's path has at most 107 bytes. */
  dir: string;
  /** An unencrypted private key. */
  key: Secret;
  path?: string | undefined;
  /** The agent ends by itself after this. Default 24 h. */
  maxLifeMs?: number | undefined;
}

const PATH = '/usr/local/bin:/usr/bin:/bin';
const DAY_MS = 24 * 3_600_000;
const LONGEST_SOCKET_PATH = 107;

/**
 * ssh-agent is set-group-ID, so the kernel takes the parent-death signal from it: a shell beside it, in the same
 * process group, looks every second whether the task still lives, and ends the agent when it does not.
 */
const WATCHED = `
parent=$PPID
ssh-agent -D -a "$1" >/dev/null & agent=$!
trap 'kill $agent 2>/dev/null' EXIT
trap 'exit 0' TERM INT HUP
while kill -0 $parent 2>/dev/null && kill -0 $agent 2>/dev/null; do sleep 1 & wait $!; done
`;

/** @throws CodedError NC3230 */
export async function startSshAgent(
  ports: { run: Run; files: Files; clock: Clock; random: Random },
  options: SshAgentOptions,
  wait: Wait,
): Promise<SshAgent> {
  const { run, files, clock, random } = ports;
  const env = { PATH: options.path ?? PATH };
  const folder = `${options.dir}/agent-${Buffer.from(random.bytes(4)).toString('hex')}`;
  const socket = `${folder}/s`;
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
    throw failed(`The socket's path ${socket} is longer than ${LONGEST_SOCKET_PATH} bytes.`);
  }
  await files.makeDir(folder, 0o700);
  const life = new AbortController();
  let over: string | undefined;
  const ended = run({
    file: 'sh',
    args: ['-c', WATCHED, 'ssh-agent', socket],
    env,
    deadlineMs: options.maxLifeMs ?? DAY_MS,
    signal: life.signal,
  }).then(
    (result) => void (over = result.stderr.trim() || `it ended with ${result.exitCode ?? result.signal}`),
    (error: unknown) => void (over = (error as Error).message),
  );
  const agent: SshAgent = {
    socket,
    async end() {
      life.abort();
      await ended;
      await files.remove(folder);
    },
  };
  try {
    await appear(files, clock, socket, wait, () => over);
    await addKey(run, options.key, { ...env, SSH_AUTH_SOCK: socket }, wait);
    return agent;
  } catch (error) {
    await agent.end();
    if (error instanceof PortError && error.kind !== 'aborted') throw failed(error.message);
    throw error;
  }
}

async function appear(
  files: Files,
  clock: Clock,
  socket: string,
  wait: Wait,
  over: () => string | undefined,
): Promise<void> {
  const deadlineMs = clock.now() + wait.deadlineMs;
  while ((await files.stat(socket)) === undefined) {
    const why = over();
    if (why !== undefined) throw failed(`ssh-agent did not start: ${why}.`);
    if (clock.now() >= deadlineMs) throw failed(`ssh-agent made no socket within ${wait.deadlineMs} ms.`);
    await clock.sleep(10, wait.signal);
  }
}

async function addKey(run: Run, key: Secret, env: Record<string, string>, wait: Wait): Promise<void> {
  // Secrets that passed through a pipeline's variables may have lost their last line end, or have Windows ones.
  const stdin = `${key.reveal().replaceAll('\r\n', '\n').trim()}\n`;
  const result = await run({ file: 'ssh-add', args: ['-q', '-'], stdin, env, ...wait });
  if (result.exitCode !== 0) throw failed(`ssh-add refused the key: ${result.stderr.trim()}.`);
}

function failed(detail: string): CodedError {
  return new CodedError('NC3230', detail);
}
