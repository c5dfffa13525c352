/**
 * Reservations by a program of the operator's on the agent. It is started without a shell and with fixed arguments; what
 * it is asked comes as one JSON object on its standard input, so that no value can become an option:
 *
 *   {"action":"reserve","name":"home-n5"}            → {"mac":"00:15:5d:01:02:03","address":"10.0.0.60"}
 *   {"action":"find","name":"home-n5"}               → the same, or exit code 3
 *   {"action":"release","mac":"00:15:5d:01:02:03"}   → nothing that is read, or exit code 3
 *
 * With a service connection there is also `"token"`.
 */
import { CodedError } from '../../../ports/errors.ts';
import type { Run, RunResult } from '../../../ports/ports.ts';
import type { Secret } from '../../../ports/secret.ts';
import type { CommandConfig } from '../../config/schema-addresses.ts';
import { clean, readReservation, type Reservation, type ReservationService } from './service.ts';

export interface CommandOptions {
  run: Run;
  service: CommandConfig;
  env: Record<string, string>;
  token: Secret | undefined;
}

/** Nothing is there under that name or MAC. */
const EXIT_NOT_THERE = 3;
/** The name has a reservation that the program does not give again. */
const EXIT_TAKEN = 4;
/** EX_TEMPFAIL of sysexits.h: the same may succeed later. */
const EXIT_LATER = 75;
const LONGEST_ANSWER_BYTES = 64 * 1024;
const FIELDS = { mac: 'mac', address: 'address' };

export function commandReservations({ run, service, env, token }: CommandOptions): ReservationService {
  const [file = '', ...args] = service.run;
  const hidden = (text: string) => clean(token === undefined ? text : text.replaceAll(token.reveal(), '***'));

  const ask = async (question: Record<string, string>, signal: AbortSignal): Promise<RunResult> => {
    const secret = token === undefined ? {} : { token: token.reveal() };
    const result = await run({
      file,
      args,
      stdin: `${JSON.stringify({ ...question, ...secret })}\n`,
      env,
      deadlineMs: service.deadlineSeconds * 1000,
      signal,
      keepBytes: LONGEST_ANSWER_BYTES,
      dieWithParent: true,
    });
    if (result.exitCode === EXIT_LATER)
      throw new CodedError('NC4080', `${file} cannot answer for now.`, saidBy(result, hidden));
    return result;
  };
  const failed = (action: string, result: RunResult) =>
    new CodedError(
      'NC4081',
      `${file}, asked to ${action}, ended with ${result.exitCode ?? result.signal ?? 'a signal'}.`,
      saidBy(result, hidden),
    );
  const read = (action: string, result: RunResult): Reservation => {
    const where = `${file}, asked to ${action}`;
    let answer: unknown;
    try {
      answer = JSON.parse(result.stdout);
    } catch {
      throw new CodedError(
        'NC4082',
        `${where}: expected one JSON object, found ${hidden(result.stdout) || 'nothing'}.`,
      );
    }
    return readReservation(answer, FIELDS, where);
  };
  const find = async (name: string, signal: AbortSignal): Promise<Reservation | undefined> => {
    const result = await ask({ action: 'find', name }, signal);
    if (result.exitCode === EXIT_NOT_THERE) return undefined;
    if (result.exitCode !== 0) throw failed('find', result);
    return read('find', result);
  };

  return {
    async reserve(name, signal) {
      const result = await ask({ action: 'reserve', name }, signal);
      if (result.exitCode === 0) return read('reserve', result);
      if (result.exitCode !== EXIT_TAKEN) throw failed('reserve', result);
      const known = service.find ? await find(name, signal) : undefined;
      if (known !== undefined) return known;
      throw new CodedError('NC4083', `${file}: ${name} has a reservation already.`, saidBy(result, hidden));
    },
    async release(mac, signal) {
      const result = await ask({ action: 'release', mac }, signal);
      if (result.exitCode === EXIT_NOT_THERE) return 'notThere';
      if (result.exitCode !== 0) throw failed('release', result);
      return 'released';
    },
    find: service.find ? find : undefined,
  };
}

/** The last line of its errors explains the most. */
function saidBy({ stderr }: RunResult, hidden: (text: string) => string): string[] {
  const last = stderr.trim().split('\n').at(-1) ?? '';
  return last === '' ? [] : [hidden(last)];
}
