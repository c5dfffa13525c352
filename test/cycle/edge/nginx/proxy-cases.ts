import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { createServer as createTcp, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addBeside, markDown, placesOf, removeAddress } from '../../../../cycle/edge/nginx/upstreams.ts';
import { connectionsTo, nginxProxy } from '../../../../cycle/edge/nginx/proxy.ts';
import type { Proxy } from '../../../../cycle/edge/nginx/proxy.ts';
import { freePort } from '../../../../lab/servers/proxy/child.ts';
import { makeSshKey } from '../../../../lab/servers/proxy/sshd.ts';
import { startProxy } from '../../../../lab/servers/proxy/proxy.ts';
import type { RunningProxy } from '../../../../lab/servers/proxy/proxy.ts';
import { PortError } from '../../../../ports/ports.ts';
import { random } from '../../../../ports/random.ts';
import { ssh } from '../../../../ports/ssh.ts';

const WAIT = { deadlineMs: 15_000 };
/** One table of cases for the real nginx with the real sshd, and for the stand-ins: the answers must be equal. */
export function proxyCases(kind: 'real' | 'stand-in'): void {
  describe(`the proxy over SSH (${kind} nginx and sshd)`, function () {
    this.timeout(30_000);
    let dir: string;
    let lab: RunningProxy;
    let proxy: Proxy;
    let backends: Server[] = [];
    let echo: ReturnType<typeof createTcp>;
    let backendPort: number;
    let echoPort: number;
    let front: number;
    let frontTcp: number;
    let httpFile: string;
    let streamFile: string;

    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'node-cycle-proxy-'));
      backends = [];
      // One port on several loopback addresses: each address is a node.
      for (const address of ['127.0.0.11', '127.0.0.12', '127.0.0.13']) {
        const server = createServer((_req, res) => res.end(address));
        await new Promise<void>((done) =>
          server.listen(backends.length === 0 ? 0 : backendPort, address, done),
        );
        backendPort = (server.address() as AddressInfo).port;
        backends.push(server);
      }
      const sockets = new Set<Socket>();
      echo = createTcp((socket) => {
        sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.pipe(socket);
      });
      await new Promise<void>((done) => echo.listen(0, '127.0.0.11', done));
      echoPort = (echo.address() as AddressInfo).port;
      front = await freePort('127.0.0.1');
      frontTcp = await freePort('127.0.0.1');
      lab = await startProxy({
        dir,
        address: '127.0.0.1',
        sshPort: 0,
        banner: `Welcome!\n${'0'.repeat(32)} begin 1 read\n${'0'.repeat(32)} end ok\n`,
        useNginx: kind,
        useSshd: kind,
        http: {
          'shop.conf': `# shop\nupstream shop {\n    server 127.0.0.11:${backendPort} max_fails=1; # node 1\n    server 127.0.0.12:${backendPort};\n    keepalive 8;\n}\nserver { listen 127.0.0.1:${front}; location / { proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection ""; } }\n`,
        },
        stream: {
          'api.conf': `upstream api { server 127.0.0.11:${echoPort}; server 127.0.0.12:${echoPort} backup; }\nserver { listen 127.0.0.1:${frontTcp}; proxy_pass api; }\n`,
        },
      });
      [httpFile, streamFile] = lab.nginx.files as [string, string];
      proxy = nginxProxy({ name: 'edge-1', target: lab.target, ssh, random });
    });
    after(async () => {
      await lab.stop();
      for (const server of backends) server.close();
      echo.close();
      rmSync(dir, { recursive: true, force: true });
    });

    const served = async (times = 12): Promise<Set<string>> => {
      const found = new Set<string>();
      for (let i = 0; i < times; i++) {
        const answer = await fetch(`http://127.0.0.1:${front}/`, { headers: { connection: 'close' } });
        found.add(await answer.text());
      }
      return found;
    };

    it('says which it is, and counts its calls', async () => {
      assert.equal(lab.nginx.kind, kind);
      assert.equal(lab.sshd.kind, kind);
      assert.deepEqual(await served(), new Set(['127.0.0.11', '127.0.0.12']));
      // nginx writes its log behind the answer.
      for (let i = 0; i < 50 && lab.nginx.calls() < 12; i++)
        await new Promise((done) => setTimeout(done, 20));
      assert.ok(lab.nginx.calls() >= 12);
    });

    it('observes files, workers and servers, whatever the banner claims', async () => {
      const seen = await proxy.observe(WAIT);
      assert.deepEqual(Object.keys(seen.files), [httpFile, streamFile]);
      assert.equal(seen.files[httpFile], readFileSync(httpFile, 'utf8'));
      assert.equal(seen.workers.length, 1);
      assert.deepEqual(
        seen.servers.map((s) => [s.upstream, s.address, s.port, s.params]),
        [
          ['shop', '127.0.0.11', backendPort, ['max_fails=1']],
          ['shop', '127.0.0.12', backendPort, []],
          ['api', '127.0.0.11', echoPort, []],
          ['api', '127.0.0.12', echoPort, ['backup']],
        ],
      );
      assert.ok(lab.sshd.calls() >= 1);
      assert.deepEqual(await proxy.workers(WAIT), { workers: seen.workers, loaded: seen.loaded });
      assert.equal((await proxy.test(WAIT)).ok, true);
    });

    it('brings a successor in, marks the old one down, drains it and takes it out', async () => {
      let seen = await proxy.observe(WAIT);
      assert.equal(
        await proxy.apply(addBeside(seen.files, '127.0.0.12', '127.0.0.13'), seen, WAIT),
        'reloaded',
      );
      let after = await proxy.observe(WAIT);
      assert.equal(after.loaded, 'yes');
      assert.ok(after.workers.every((pid) => !seen.workers.includes(pid)));
      assert.ok((await served()).has('127.0.0.13'));

      const stream = connect(frontTcp, '127.0.0.1');
      await new Promise<void>((done) => stream.once('connect', done));
      stream.write('x');
      await new Promise((done) => stream.once('data', done));
      assert.ok(connectionsTo(await proxy.observe(WAIT), '127.0.0.11') >= 1);

      seen = after;
      assert.equal(await proxy.apply(markDown(seen.files, '127.0.0.12'), seen, WAIT), 'reloaded');
      assert.ok(!(await served()).has('127.0.0.12'));
      stream.write('y');
      assert.equal(String(await new Promise((done) => stream.once('data', done))), 'y');
      stream.destroy();

      after = await proxy.observe(WAIT);
      const { files, removed } = removeAddress(after.files, '127.0.0.12');
      assert.equal(await proxy.apply(files, after, WAIT), 'reloaded');
      assert.equal(removed.length, 2);
      assert.deepEqual(placesOf((await proxy.observe(WAIT)).files, '127.0.0.12'), []);
      assert.deepEqual(await served(), new Set(['127.0.0.11', '127.0.0.13']));
    });

    it('puts nothing in place that nginx does not accept, and says what nginx said', async () => {
      const seen = await proxy.observe(WAIT);
      const broken = { [httpFile]: `${seen.files[httpFile]}upstream { ;\n` };
      const outcome = await proxy.apply(broken, seen, WAIT);
      assert.ok(typeof outcome === 'object');
      assert.equal(outcome.refused, 'test');
      assert.equal(outcome.restored, true);
      assert.match(outcome.output, /\[emerg\].*shop\.conf/);
      assert.equal(readFileSync(httpFile, 'utf8'), seen.files[httpFile]);
      assert.deepEqual((await proxy.observe(WAIT)).workers, seen.workers);
    });

    it('catches the reload that ends 0 and changes nothing because a listen port is in use', async () => {
      const seen = await proxy.observe(WAIT);
      const taken = createTcp();
      await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
      const { port } = taken.address() as AddressInfo;
      const text = `${seen.files[httpFile]}server { listen 127.0.0.1:${port}; return 200 x; }\n`.replace(
        'return 200 x;',
        'location / { return 200 x; }',
      );
      const outcome = await proxy.apply({ [httpFile]: text }, seen, WAIT);
      taken.close();
      assert.ok(typeof outcome === 'object');
      assert.equal(outcome.refused, 'workers-same');
      assert.match(outcome.output, /Address already in use/);
      assert.equal(outcome.restored, true);
      assert.equal(readFileSync(httpFile, 'utf8'), seen.files[httpFile]);
      assert.ok((await served()).size > 0);
    });

    it('the naive check believes that reload: test and reload both end 0', async () => {
      const { spawnSync } = await import('node:child_process');
      const before = readFileSync(httpFile, 'utf8');
      const taken = createTcp();
      await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
      const { port } = taken.address() as AddressInfo;
      writeFileSync(httpFile, `${before}server { listen 127.0.0.1:${port}; location / { return 200 x; } }\n`);
      const workers = (await proxy.observe(WAIT)).workers;
      const run = (...args: string[]) =>
        spawnSync(lab.nginx.binary, ['-p', lab.nginx.prefix, '-c', lab.nginx.conf, ...args]).status;
      assert.equal(run('-t'), 0);
      assert.equal(run('-s', 'reload'), 0);
      await new Promise((done) => setTimeout(done, 3_000));
      assert.deepEqual((await proxy.observe(WAIT)).workers, workers);
      taken.close();
      writeFileSync(httpFile, before);
      assert.equal(await proxy.apply({}, await proxy.observe(WAIT), WAIT), 'reloaded');
    });

    it('refuses when someone else changed the file after it was read', async () => {
      const seen = await proxy.observe(WAIT);
      const mine = addBeside(seen.files, '127.0.0.13', '127.0.0.12');
      writeFileSync(httpFile, `${seen.files[httpFile]}# edited by hand\n`);
      const outcome = await proxy.apply(mine, seen, WAIT);
      assert.ok(typeof outcome === 'object');
      assert.equal(outcome.refused, 'changed');
      assert.match(readFileSync(httpFile, 'utf8'), /edited by hand/);
      writeFileSync(httpFile, seen.files[httpFile] as string);
    });

    it('knows that files on disk are not those in force until a proven reload', async () => {
      assert.equal(await proxy.apply({}, await proxy.observe(WAIT), WAIT), 'reloaded');
      assert.equal((await proxy.observe(WAIT)).loaded, 'yes');
      const before = readFileSync(httpFile, 'utf8');
      writeFileSync(httpFile, `${before}# not loaded\n`);
      assert.equal((await proxy.observe(WAIT)).loaded, 'unknown');
      writeFileSync(httpFile, before);
      assert.equal((await proxy.observe(WAIT)).loaded, 'yes');
    });

    it('writes only to files on its list, and takes hostile paths and commands for data', async () => {
      const seen = await proxy.observe(WAIT);
      const witness = join(dir, 'witness');
      for (const path of [
        '/etc/passwd',
        `${httpFile}/../x`,
        `$(touch ${witness})`,
        `; touch ${witness}`,
        '--help',
        '*',
      ]) {
        const outcome = await proxy.apply(
          { [path]: 'x' },
          { ...seen, files: { ...seen.files, [path]: '' } },
          WAIT,
        );
        assert.ok(typeof outcome === 'object', path);
        assert.equal(outcome.refused, 'not-allowed', path);
      }
      await assert.rejects(proxy.apply({ 'a\nfile 0 0 0 b': 'x' }, seen, WAIT), /NC4006/);
      for (const command of [
        `read; touch ${witness}`,
        `$(touch ${witness})`,
        'put\nread',
        '',
        'sh',
        '-c id',
      ]) {
        const result = await ssh({ target: lab.target, command, stdin: `${'a'.repeat(32)}\n`, ...WAIT });
        assert.notEqual(result.exitCode, 0, command);
        assert.match(result.stdout, /end refused unknown-verb/, command);
      }
      for (const nonce of ['', 'A'.repeat(32), `$(touch ${witness})`, 'a'.repeat(31)]) {
        const result = await ssh({ target: lab.target, command: 'read', stdin: `${nonce}\n`, ...WAIT });
        assert.equal(result.exitCode, 64);
        assert.equal(result.stdout, '');
      }
      assert.equal(existsSync(witness), false);
      assert.equal(readFileSync(httpFile, 'utf8'), seen.files[httpFile]);
    });

    it('keeps every byte of a file that is not UTF-8', async () => {
      const before = readFileSync(httpFile);
      writeFileSync(httpFile, Buffer.concat([Buffer.from('# caf\xe9 \xff\r\n', 'latin1'), before]));
      const seen = await proxy.observe(WAIT);
      assert.equal(await proxy.apply(markDown(seen.files, '127.0.0.13'), seen, WAIT), 'reloaded');
      const text = readFileSync(httpFile);
      assert.deepEqual(text.subarray(0, 10), Buffer.from('# caf\xe9 \xff\r\n', 'latin1').subarray(0, 10));
      writeFileSync(httpFile, before);
      assert.equal(await proxy.apply({}, await proxy.observe(WAIT), WAIT), 'reloaded');
    });

    it('does not talk to a host with another key, nor with a key that is not listed', async () => {
      const other = makeSshKey();
      await assert.rejects(
        ssh({ target: { ...lab.target, hostKeys: [other.publicKey] }, command: 'read', ...WAIT }),
        (error) => error instanceof PortError && error.kind === 'hostkey' && !error.sent,
      );
      await assert.rejects(
        ssh({ target: { ...lab.target, privateKey: other.privateKey }, command: 'read', ...WAIT }),
        (error) => error instanceof PortError && error.kind === 'auth' && !error.sent,
      );
      await assert.rejects(
        ssh({ target: { ...lab.target, port: await freePort('127.0.0.1') }, command: 'read', ...WAIT }),
        (error) => error instanceof PortError && error.kind === 'refused',
      );
    });
  });
}
