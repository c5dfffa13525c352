/** The link of the tasks to the service that reserves addresses: which adapter, and where its token comes from. */
import assert from 'node:assert/strict';
import type { Config } from '../../../cycle/config/schema.ts';
import type { Context } from '../../../cycle/context.ts';
import { CodedError } from '../../../ports/errors.ts';
import type { HttpRequest, RunRequest } from '../../../ports/ports.ts';
import { Secret } from '../../../ports/secret.ts';
import type { PipelineAgent } from '../../../tasks/agent.ts';
import { reservations } from '../../../tasks/links/reservations.ts';
import { configOf } from '../../cycle/world.ts';

const ANSWER = '{"mac":"00:15:5d:00:00:01","address":"10.0.0.60"}';
const RANGES = ['10.0.0.60-10.0.0.79'];

function opened(addresses: object | undefined, password: Secret | undefined | 'no connection') {
  const masked: Secret[] = [];
  const sent: { http: HttpRequest[]; run: RunRequest[] } = { http: [], run: [] };
  const connection = { name: 'dhcp', url: '', secret: () => password, data: () => undefined };
  const agent = {
    connection: (input: string) =>
      input === 'reservation' && password !== 'no connection' ? connection : undefined,
    mask: (secret: Secret) => void masked.push(secret),
  } as unknown as PipelineAgent;
  const config: Config = configOf(addresses === undefined ? {} : { addresses });
  const ctx = {
    config,
    env: { PATH: '/bin' },
    reservations: undefined,
    ports: {
      http: async (request: HttpRequest) => {
        sent.http.push(request);
        async function* body() {
          yield new TextEncoder().encode(ANSWER);
        }
        return { status: 200, headers: {}, body: body() };
      },
      run: async (request: RunRequest) => {
        sent.run.push(request);
        return { exitCode: 0, signal: null, stdout: ANSWER, stderr: '' };
      },
    },
  } as unknown as Context;
  const open = async () => {
    await reservations.open?.(agent, ctx);
    return ctx.reservations;
  };
  return { open, masked, sent };
}
const webhook = {
  source: 'reservation',
  ranges: RANGES,
  service: { kind: 'webhook', url: 'https://dhcp.example' },
};
const command = {
  source: 'reservation',
  ranges: RANGES,
  service: { kind: 'command', run: ['lease', '--json'] },
};

describe('The link to a reservation service', () => {
  it('is none with another source of addresses', async () => {
    assert.equal(await opened(undefined, new Secret('token')).open(), undefined);
  });

  it('sends the token of the service connection as a bearer token, and masks it in the log', async () => {
    const { open, masked, sent } = opened(webhook, new Secret('the-token'));
    await (await open())?.reserve('home-n5', new AbortController().signal);
    assert.equal(sent.http[0]?.headers?.['authorization'], 'Bearer the-token');
    assert.equal(masked[0]?.reveal(), 'the-token');
  });

  it('asks without a token when there is no connection, and fails when it has none', async () => {
    const { open, sent } = opened(webhook, 'no connection');
    await (await open())?.reserve('home-n5', new AbortController().signal);
    assert.equal(sent.http[0]?.headers?.['authorization'], undefined);
    await assert.rejects(
      async () => opened(webhook, undefined).open(),
      (error) => error instanceof CodedError && error.code === 'NC5004',
    );
  });

  it('runs a program with its own arguments, the environment of children, and the token on its input', async () => {
    const { open, sent } = opened(command, new Secret('the-token'));
    await (await open())?.reserve('home-n5', new AbortController().signal);
    const [{ file, args, env, stdin }] = sent.run as [RunRequest];
    assert.deepEqual([file, args, env], ['lease', ['--json'], { PATH: '/bin' }]);
    assert.equal(stdin, '{"action":"reserve","name":"home-n5","token":"the-token"}\n');
  });
});
