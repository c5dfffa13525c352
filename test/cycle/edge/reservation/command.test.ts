/** Reservations by a program, with a real one. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandReservations } from '../../../../cycle/edge/reservation/command.ts';
import { CodedError } from '../../../../ports/errors.ts';
import { PortError } from '../../../../ports/ports.ts';
import { run } from '../../../../ports/run.ts';
import { Secret } from '../../../../ports/secret.ts';

/** Leases in a file; what it was started with and asked goes to another. */
const PROGRAM = `#!${process.execPath}
const fs = require('node:fs');
const [, , state, log] = process.argv;
const asked = JSON.parse(fs.readFileSync(0, 'utf8'));
fs.appendFileSync(log, JSON.stringify({ argv: process.argv.slice(4), asked, env: Object.keys(process.env) }) + '\\n');
const leases = fs.existsSync(state) ? JSON.parse(fs.readFileSync(state, 'utf8')) : {};
const end = (code, answer) => {
  fs.writeFileSync(state, JSON.stringify(leases));
  if (answer !== undefined) console.log(JSON.stringify(answer));
  process.exit(code);
};
if (asked.name === 'later') end(75);
if (asked.name === 'broken') { console.error('first\\nno lease: ' + asked.token); end(1); }
if (asked.name === 'chatty') { console.log('working on it'); end(0, { mac: '00:15:5d:00:00:01', address: '10.0.0.60' }); }
if (asked.name === 'slow') setTimeout(() => end(0), 60000);
else if (asked.action === 'reserve') {
  if (leases[asked.name] && process.env.AGAIN === 'taken') end(4);
  leases[asked.name] ??= { mac: '00155D00000' + (Object.keys(leases).length + 1), address: '10.0.0.60' };
  end(0, leases[asked.name]);
} else if (asked.action === 'find') end(leases[asked.name] ? 0 : 3, leases[asked.name]);
else {
  const held = Object.keys(leases).find((name) => leases[name].mac === asked.mac.toUpperCase().replaceAll(':', ''));
  delete leases[held];
  end(held ? 0 : 3);
}
`;

describe('A reservation program', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'nc-reserve-'));
    writeFileSync(join(dir, 'reserve'), PROGRAM);
    chmodSync(join(dir, 'reserve'), 0o755);
  });
  after(() => rmSync(dir, { recursive: true }));
  afterEach(() => {
    for (const name of ['leases', 'log']) rmSync(join(dir, name), { force: true });
  });
  const at = (name: string) => join(dir, name);
  const signal = () => new AbortController().signal;
  const program = (over: { find?: boolean; again?: string; deadlineSeconds?: number; file?: string } = {}) =>
    commandReservations({
      run,
      service: {
        kind: 'command',
        run: [over.file ?? at('reserve'), at('leases'), at('log'), '--pool', 'k8s; rm -rf $HOME'],
        find: over.find ?? false,
        deadlineSeconds: over.deadlineSeconds ?? 10,
      },
      env: { PATH: process.env['PATH'] ?? '', AGAIN: over.again ?? 'same' },
      token: new Secret('a-long-token'),
    });
  const asked = () =>
    readFileSync(at('log'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { argv: string[]; asked: object; env: string[] });
  const fails = (promise: Promise<unknown>, code: string, words: RegExp) =>
    assert.rejects(promise, (error: unknown) => {
      assert.ok(error instanceof CodedError, String(error));
      const text = [error.message, ...error.evidence].join('\n');
      assert.equal(error.code, code);
      assert.match(text, words);
      assert.ok(!text.includes('a-long-token'));
      return true;
    });

  it('reserves, gives the same again, finds and releases', async () => {
    const { reserve, release, find } = program({ find: true });
    assert.ok(find !== undefined);
    assert.equal(await find('home-n5', signal()), undefined);
    const reserved = { mac: '00:15:5d:00:00:01', address: '10.0.0.60' };
    assert.deepEqual(await reserve('home-n5', signal()), reserved);
    assert.deepEqual(await reserve('home-n5', signal()), reserved);
    assert.deepEqual(await find('home-n5', signal()), reserved);
    assert.equal(await release(reserved.mac, signal()), 'released');
    assert.equal(await release(reserved.mac, signal()), 'notThere');
  });

  it('is asked on its standard input alone: its arguments stay as configured, and no shell reads them', async () => {
    await program().reserve('--help', signal());
    const [{ argv, asked: question, env }] = asked() as [ReturnType<typeof asked>[number]];
    assert.deepEqual(argv, ['--pool', 'k8s; rm -rf $HOME']);
    assert.deepEqual(question, { action: 'reserve', name: '--help', token: 'a-long-token' });
    assert.deepEqual(
      env.filter((name) => !['PATH', 'AGAIN'].includes(name) && !name.startsWith('__')),
      [],
    );
  });

  it('whose name is taken is asked what it has, when it can be', async () => {
    const first = await program().reserve('home-n5', signal());
    assert.deepEqual(await program({ find: true, again: 'taken' }).reserve('home-n5', signal()), first);
    await fails(
      program({ again: 'taken' }).reserve('home-n5', signal()),
      'NC4083',
      /home-n5 has a reservation/,
    );
  });

  it('tells by its exit code what went wrong, and its last line says more', async () => {
    await fails(program().reserve('later', signal()), 'NC4080', /cannot answer for now/);
    await fails(program().reserve('broken', signal()), 'NC4081', /ended with 1.*\nno lease: \*\*\*$/);
    await fails(
      program().reserve('chatty', signal()),
      'NC4082',
      /expected one JSON object, found working on it/,
    );
    const missing = program({ file: at('nowhere') }).reserve('home-n5', signal());
    await assert.rejects(missing, (error) => error instanceof PortError && error.kind === 'notfound');
  });

  it('is ended when it takes longer than it may', async () => {
    const late = program({ deadlineSeconds: 0.5 }).reserve('slow', signal());
    await assert.rejects(late, (error) => error instanceof PortError && error.kind === 'timeout');
  });
});
