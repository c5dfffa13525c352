import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { aliasNeeds } from '../../cycle/edge/dns/alias.ts';
import { rfc2136Zone, tsigKeyFile } from '../../cycle/edge/dns/rfc2136.ts';
import { addIngressAddress, removeIngressAddress } from '../../cycle/edge/gitops/values.ts';
import { nginxProxy } from '../../cycle/edge/nginx/proxy.ts';
import { addBeside, markDown, removeAddress, restore } from '../../cycle/edge/nginx/upstreams.ts';
import { membersOn } from '../../cycle/edge/dns/zone.ts';
import { realDns } from '../../lab/servers/dns/dns.ts';
import { findProgram } from '../../lab/servers/proxy/child.ts';
import { realNginx } from '../../lab/servers/proxy/nginx.ts';
import { dns } from '../../ports/dns.ts';
import { gitRepo } from '../../ports/git.ts';
import { PortError } from '../../ports/ports.ts';
import type { Ssh } from '../../ports/ports.ts';
import { random } from '../../ports/random.ts';
import { run } from '../../ports/run.ts';
import { Secret } from '../../ports/secret.ts';
import { ssh } from '../../ports/ssh.ts';
import { ALIAS, OLD, VALUES, VALUES_PATH, WAIT, startEdges } from './rig.ts';
import type { Edges } from './rig.ts';
import { editValues } from './swap.ts';

/** `@` is where a command would leave its trace. */
const LOGINS = 8;
const HOSTILE = [
  '10.0.0.1\nserver 6.6.6.6;',
  '10.0.0.1; } evil {',
  '10.0.0.1;',
  '10.0.0.1\r',
  '10.0.0.1 down',
  '10.0.0.1, 6.6.6.6',
  '$(touch @)',
  '`touch @`',
  '; touch @ #',
  '| touch @',
  '&& touch @',
  "'; touch @; '",
  '"; touch @; "',
  '${IFS}touch${IFS}@',
  '--upload-pack=touch @',
  '--config=core.pager=touch @',
  '-oProxyCommand=touch @',
  '!!js/function "touch @"',
  '&anchor 10.0.0.1',
  '*alias',
  '{{ .Values.evil }}',
  '10.0.0.1 # comment',
  '../../../etc/passwd',
  '10.0.0.1\0',
  '',
];

if (realNginx() && realDns() && findProgram('sshd')) {
  describe('a hostile value (real nginx, sshd, BIND and git)', function () {
    this.timeout(60_000);
    let edges: Edges;
    let witness: string;
    let values: string[];
    before(async () => {
      edges = await startEdges();
      witness = join(edges.dir, 'witness');
      values = HOSTILE.map((value) => value.replaceAll('@', witness));
    });
    after(() => edges.stop());
    afterEach(() => assert.equal(existsSync(witness), false, 'nothing ran a command'));

    const only = () => edges.proxies[0] as Edges['proxies'][number];

    it('is no address for an upstream, and changes no file', async () => {
      const { files } = await only().client.observe(WAIT);
      for (const value of values) {
        assert.throws(() => addBeside(files, OLD, value), /NC4003/, value);
        assert.deepEqual(addBeside(files, value, '127.0.0.13'), {}, value);
        assert.deepEqual(markDown(files, value), {}, value);
        assert.deepEqual(removeAddress(files, value).files, {}, value);
      }
    });

    it('in a line from the Lease is not put back', async () => {
      const seen = await only().client.observe(WAIT);
      const [file = ''] = Object.keys(seen.files);
      for (const value of values) {
        const statement = `server ${value};`;
        const line = { file, context: 'unknown' as const, upstream: 'web', address: value, statement };
        assert.throws(() => restore(seen.files, line), /NC4007|NC4001/, value);
      }
      assert.deepEqual((await only().client.observe(WAIT)).files, seen.files);
    });

    it("is no verb, no path and no request for the proxy's script", async () => {
      const { lab, client } = only();
      const seen = await client.observe(WAIT);
      const asVerb = async (value: string) => {
        const stdin = `${'a'.repeat(32)}\n`;
        const answer = await ssh({ target: lab.target, command: value, stdin, ...WAIT });
        assert.match(answer.stdout, /^a{32} end refused unknown-verb$/m, value);
      };
      for (let at = 0; at < values.length; at += LOGINS)
        await Promise.all(values.slice(at, at + LOGINS).map(asVerb));
      // A path takes three logins; a few kinds of them are enough beside the table of the proxy's cases.
      for (const value of values.filter((_value, at) => at % 4 === 0)) {
        const outcome = await client
          .apply({ [value]: 'x' }, { ...seen, files: { ...seen.files, [value]: '' } }, WAIT)
          .catch((error: unknown) => String(error));
        assert.match(
          typeof outcome === 'string' ? outcome : outcome.refused,
          /not-allowed|malformed|NC4006/,
          value,
        );
      }
      assert.deepEqual((await client.observe(WAIT)).files, seen.files);
    });

    it('as the name of a host reaches nobody', async () => {
      const { target } = only().lab;
      for (const value of values.filter((one) => one !== '' && !one.startsWith('10.')).slice(0, 8)) {
        await assert.rejects(
          ssh({ target: { ...target, host: value }, command: 'read', deadlineMs: 3_000 }),
          (error) => error instanceof PortError && !error.sent,
          value,
        );
      }
    });

    it('that the far side prints before its answer is not taken for the answer', async () => {
      const { lab, client } = only();
      const seen = await client.observe(WAIT);
      const said: string[] = [];
      const greeted =
        (greeting: string): Ssh =>
        async (request) => {
          const nonce =
            Buffer.from(request.stdin ?? '')
              .toString()
              .split('\n')[0] ?? '';
          said.push(nonce);
          const answer = await ssh(request);
          return { ...answer, stdout: greeting + answer.stdout };
        };
      const zeros = '0'.repeat(32);
      const earlier = [
        `Last login: today\n${zeros} begin 1 read\n${zeros} workers 1 2 3\n${zeros} end ok\n`,
        '\x1b[2J\x07\0\n',
        `begin 1 read\nend ok\n`,
      ];
      for (const greeting of earlier) {
        const over = nginxProxy({ name: 'greeted', target: lab.target, ssh: greeted(greeting), random });
        const found = await over.observe(WAIT);
        assert.deepEqual([found.files, found.workers], [seen.files, seen.workers]);
      }
      // The words of an earlier answer, nonce and all, are of no use: each request has a nonce of its own.
      const replay = nginxProxy({
        ...{ name: 'replayed', target: lab.target, random },
        ssh: () =>
          Promise.resolve({
            exitCode: 0,
            stderr: '',
            stdout: `${said[0] ?? ''} begin 1 read\n${said[0] ?? ''} end ok\n`,
          }),
      });
      await assert.rejects(replay.observe(WAIT), /NC4005.*with our nonce, found none/);
      assert.equal(new Set(said).size, said.length);
    });

    it('is no address and no path for the values, and a string of YAML stays a string', () => {
      const text = edges.git('show', `main:${VALUES}`);
      for (const value of values) {
        assert.throws(() => addIngressAddress(text, VALUES_PATH, OLD, value), /NC4003/, value);
        assert.equal(removeIngressAddress(text, VALUES_PATH, value), text, value);
        assert.throws(() => addIngressAddress(text, value, OLD, '10.0.0.13'), /NC402[0-4]/, value);
      }
      const tagged = 'a:\n  - !!js/function "x"\n  - 10.0.0.11\nb: !include /etc/passwd\n';
      assert.equal(
        addIngressAddress(tagged, 'a', '10.0.0.11', '10.0.0.13'),
        tagged.replace('10.0.0.11\n', '10.0.0.11\n  - 10.0.0.13\n'),
      );
    });

    it('is a branch that is not there, or none at all; in a message, a file and its name it is only text', async () => {
      for (const value of values) {
        const open = (branch: string, url: string) =>
          gitRepo({
            ...{
              run,
              branch,
              url,
              env: { PATH: process.env['PATH'] ?? '' },
              cacheDir: join(edges.dir, 'cache-h'),
            },
            credential: { kind: 'none' },
            author: { name: 'Node Cycle', email: 'node-cycle@example.test' },
          });
        const bare = join(edges.dir, 'gitops.git');
        await assert.rejects(
          Promise.resolve().then(() => open(value, bare).tip(WAIT)),
          /NC4060|couldn't find remote ref/,
          value,
        );
        if (!value.startsWith('../'))
          await assert.rejects(
            Promise.resolve().then(() => open('main', value).tip(WAIT)),
            (error) => /NC4060/.test(String(error)) || error instanceof PortError,
            value,
          );
      }
      const message = `Text ${values.filter((one) => !/[\0\r\n]/.test(one)).join(' ')}`.trim();
      await editValues(edges, (text) => `${text}# ${JSON.stringify(values)}\n`, message);
      assert.equal(edges.git('log', '-1', '--format=%s', 'main'), message);
      assert.ok(edges.git('show', `main:${VALUES}`).endsWith(`# ${JSON.stringify(values)}`));
    });

    it('is no name, no data, no zone and no key for DNS, and nothing is sent', async () => {
      const { zone, dns: server } = edges;
      const held = async () =>
        (await zone.read([ALIAS], WAIT)).map((view) => [view.serial, membersOn(view, ALIAS)]);
      const before = await zone.read([ALIAS], WAIT);
      const heldBefore = await held();
      const swap = { ...ALIAS, expect: [OLD], add: ['10.0.0.13'], remove: [OLD], ttl: 1 };
      const over = (name: string, keyFile: string) =>
        rfc2136Zone({
          zone: name,
          servers: server.servers,
          dns,
          run,
          keyFile,
          env: { PATH: process.env['PATH'] ?? '' },
        });
      for (const value of values) {
        for (const part of [
          { add: [value] },
          { remove: [value] },
          { expect: [value] },
          { name: value },
          { name: `${value}.edge.test` },
          { type: 'CNAME' as const, expectType: 'A' as const, add: [value] },
        ])
          await assert.rejects(zone.swap({ ...swap, ...part }, WAIT), /NC4041/, value);
        assert.throws(() => over(value, server.keyFile), /NC4041/, value);
        assert.throws(() => tsigKeyFile(value, 'hmac-sha256', new Secret('AAAA')), /NC4041/, value);
        assert.throws(() => tsigKeyFile('k', value, new Secret('AAAA')), /NC4041/, value);
        const needs = aliasNeeds(before, { ...ALIAS, leaving: value, ttl: 1 });
        assert.ok(
          needs.every(({ kind }) => kind === 'agree'),
          value,
        );
      }
      assert.deepEqual(await held(), heldBefore);
      assert.ok(readFileSync(server.keyFile, 'utf8').includes(server.key.name));
    });
  });
}
