import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clock } from '../../ports/clock.ts';
import { connect } from '../../ports/connect.ts';
import { files } from '../../ports/files.ts';
import { PortError } from '../../ports/ports.ts';
import { random } from '../../ports/random.ts';

const is = (kind: string) => (error: unknown) => error instanceof PortError && error.kind === kind;

describe('the files adapter', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'nc-files-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('writes whole, with the mode it was told, and leaves no temporary file', async () => {
    await files.write(join(dir, 'a'), 'one', 0o640);
    await files.write(join(dir, 'a'), 'two');
    assert.equal(Buffer.from(await files.read(join(dir, 'a'))).toString(), 'two');
    assert.equal((await files.stat(join(dir, 'a')))?.mode, 0o600);
    assert.deepEqual(readdirSync(dir), ['a']);
  });

  it('creates only what is not there', async () => {
    await files.create(join(dir, 'claim'), 'first');
    await assert.rejects(files.create(join(dir, 'claim'), 'second'), is('exists'));
  });

  it('says which path is not there, and has no stat of it', async () => {
    await assert.rejects(files.read(join(dir, 'none')), is('notfound'));
    await assert.rejects(files.write(join(dir, 'no', 'such'), 'x'), is('notfound'));
    assert.equal(await files.stat(join(dir, 'none')), undefined);
  });

  it('makes folders, lists them in order, and removes them whole', async () => {
    await files.makeDir(join(dir, 'x', 'y'));
    await files.write(join(dir, 'x', 'b'), '');
    await files.write(join(dir, 'x', 'a'), '');
    assert.deepEqual(await files.list(join(dir, 'x')), ['a', 'b', 'y']);
    await files.remove(join(dir, 'x'));
    assert.deepEqual(await files.list(dir), []);
  });
});

describe('the connect adapter', () => {
  it('gives the first line that a server says', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('SSH-2.0-Open');
      setTimeout(() => socket.write('SSH_9.2\r\nmore'), 20);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    assert.deepEqual(await connect({ host: '127.0.0.1', port, banner: true, deadlineMs: 1000 }), {
      banner: 'SSH-2.0-OpenSSH_9.2',
    });
    assert.deepEqual(await connect({ host: '127.0.0.1', port, deadlineMs: 1000 }), { banner: '' });
    await new Promise((resolve) => server.close(resolve));
    await assert.rejects(connect({ host: '127.0.0.1', port, deadlineMs: 1000 }), is('refused'));
  });

  it('does not wait for ever for a host that accepts and stays silent', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await assert.rejects(connect({ host: '127.0.0.1', port, banner: true, deadlineMs: 50 }), is('timeout'));
    server.close();
  });
});

describe('the clock and the source of randomness', () => {
  it('sleeps, and wakes when it is aborted', async () => {
    const started = clock.now();
    await clock.sleep(20);
    assert.ok(clock.now() - started >= 15);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 10);
    await assert.rejects(clock.sleep(60_000, abort.signal), is('aborted'));
  });

  it('gives as many bytes as asked, each time others', () => {
    assert.equal(random.bytes(32).length, 32);
    assert.notDeepEqual(random.bytes(32), random.bytes(32));
  });
});
