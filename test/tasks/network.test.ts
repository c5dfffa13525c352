import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { CodedError } from '../../ports/errors.ts';
import { files } from '../../ports/files.ts';
import { openProxy, placeOf } from '../../ports/http-proxy.ts';
import { Secret } from '../../ports/secret.ts';
import { azureAgent } from '../../tasks/azure.ts';
import type { AgentNetwork } from '../../tasks/agent.ts';
import { networkOf } from '../../tasks/network.ts';
import type { Network } from '../../tasks/network.ts';
import { connectProxy } from '../ports/connect-proxy.ts';

const NOTHING: AgentNetwork = { proxy: undefined, caFile: undefined };

describe('the way out of a task', () => {
  let dir: string;
  const [one = '', other = ''] = rootCertificates;

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'nc-network-'));
    writeFileSync(join(dir, 'corp.pem'), `Corp root\n${one}\n${other}\n`);
    writeFileSync(join(dir, 'extra.pem'), other);
    writeFileSync(join(dir, 'key.pem'), '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n');
    writeFileSync(join(dir, 'torn.pem'), one.replace(/\n.{10}/, '\n##########'));
  });

  after(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  async function made(
    network: Partial<AgentNetwork>,
    env: Record<string, string> = {},
  ): Promise<{ network: Network; masked: string[] }> {
    const masked: string[] = [];
    const agent = {
      network: () => ({ ...NOTHING, ...network }),
      mask: (secret: Secret) => masked.push(secret.reveal()),
    };
    return { network: await networkOf(agent, files, env), masked };
  }

  const goesThrough = ({ http }: Network, address: string): boolean => {
    const url = new URL(address);
    return http.proxy !== undefined && !openProxy(http.proxy).bypasses(url, placeOf(url));
  };

  async function refusal(network: Partial<AgentNetwork>, env?: Record<string, string>): Promise<CodedError> {
    const error = await made(network, env).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.code, 'NC5007');
    return error;
  }

  describe('as the agent tells it in its variables', () => {
    const set = (variables: Record<string, string>) => {
      for (const [name, value] of Object.entries(variables)) process.env[name] = value;
    };
    afterEach(() => {
      for (const name of ['PROXYURL', 'PROXYUSERNAME', 'PROXYPASSWORD', 'PROXYBYPASSLIST', 'CAINFO'])
        delete process.env[`AGENT_${name}`];
    });

    it('is read through the task library: URL, user, password, list and CA file', () => {
      set({
        AGENT_PROXYURL: 'http://proxy.corp.example:3128',
        AGENT_PROXYUSERNAME: 'nc',
        AGENT_PROXYPASSWORD: 'p@ss',
        AGENT_PROXYBYPASSLIST: '["\\\\.corp\\\\.example"]',
        AGENT_CAINFO: '/etc/corp.pem',
      });
      const { proxy, caFile } = azureAgent().network();
      assert.equal(proxy?.url, 'http://proxy.corp.example:3128');
      assert.equal(proxy.username, 'nc');
      assert.equal(proxy.password?.reveal(), 'p@ss');
      assert.deepEqual(proxy.bypass, ['\\.corp\\.example']);
      assert.equal(caFile, '/etc/corp.pem');
      assert.deepEqual(JSON.parse(JSON.stringify(proxy)), { ...proxy, password: '***' });
    });

    it('is nothing where the agent has nothing', () => {
      assert.deepEqual(azureAgent().network(), NOTHING);
    });

    it('is refused with a code when it cannot be read, and not gone round', () => {
      set({ AGENT_PROXYURL: 'http://proxy.example', AGENT_PROXYBYPASSLIST: 'a,b' });
      assert.throws(
        () => azureAgent().network(),
        (error) => error instanceof CodedError && error.code === 'NC5007',
      );
    });
  });

  describe('its proxy', () => {
    it("is the agent's own before that of the environment", async () => {
      const proxy = { url: 'http://agent-proxy.example:8080', bypass: ['inner\\.example'] };
      const { network } = await made({ proxy }, { HTTPS_PROXY: 'http://env.example:1', NO_PROXY: '*' });
      assert.equal(network.http.proxy?.url, 'http://agent-proxy.example:8080');
      assert.equal(goesThrough(network, 'https://outer.example/'), true);
      assert.equal(goesThrough(network, 'https://inner.example/'), false);
    });

    it('is HTTPS_PROXY without one of the agent, and NO_PROXY names hosts with what is below them', async () => {
      const { network } = await made(
        {},
        { HTTPS_PROXY: 'env.example:1', NO_PROXY: 'corp.example, .inner.example,10.1.2.3,edge.example:443' },
      );
      const through = (address: string) => goesThrough(network, address);
      assert.equal(through('https://corp.example:6443/'), false);
      assert.equal(through('https://a.b.CORP.example/'), false);
      assert.equal(through('https://notcorp.example/'), true);
      assert.equal(through('https://corpxexample/'), true);
      assert.equal(through('https://x.inner.example/'), false);
      assert.equal(through('https://10.1.2.3:6443/'), false);
      assert.equal(through('https://10.1.2.30:6443/'), true);
      assert.equal(through('https://edge.example/'), false);
      assert.equal(through('https://edge.example:8443/'), true);
    });

    it('is none with NO_PROXY=* and none when nothing is set', async () => {
      const all = await made({}, { https_proxy: 'http://env.example:1', no_proxy: '*' });
      assert.equal(goesThrough(all.network, 'https://outer.example/'), false);
      assert.equal((await made({})).network.http.proxy, undefined);
    });

    it('masks the password in each form in which it goes out, also one from the URL', async () => {
      const password = new Secret('p@ss/w%41');
      const proxy = { url: 'http://proxy.example:1', username: 'nc', password, bypass: [] };
      const header = Buffer.from('nc:p@ss/w%41').toString('base64');
      assert.deepEqual(
        new Set((await made({ proxy })).masked),
        new Set(['p@ss/w%41', 'p%40ss%2Fw%2541', header]),
      );
      const { masked } = await made({}, { HTTPS_PROXY: 'http://nc:p%40ss@proxy.example:1' });
      assert.ok(masked.includes('p@ss') && masked.includes('p%40ss'), masked.join(' '));
    });

    it('is refused when its URL is none, without showing it', async () => {
      const error = await refusal({}, { HTTPS_PROXY: 'socks5://nc:hidden@proxy.example:1' });
      assert.ok(!error.message.includes('hidden'), error.message);
    });
  });

  describe('its CA', () => {
    it('is every certificate of the file, with those of NODE_EXTRA_CA_CERTS, which it would replace', async () => {
      const { network } = await made({ caFile: join(dir, 'corp.pem') });
      assert.deepEqual(
        network.http.ca?.map((each) => each.trim()),
        [one.trim(), other.trim()],
      );
      const both = await made(
        { caFile: join(dir, 'corp.pem') },
        { NODE_EXTRA_CA_CERTS: join(dir, 'extra.pem') },
      );
      assert.equal(both.network.http.ca?.length, 3);
      const gone = await made(
        { caFile: join(dir, 'corp.pem') },
        { NODE_EXTRA_CA_CERTS: join(dir, 'gone.pem') },
      );
      assert.equal(gone.network.http.ca?.length, 2);
    });

    it('is left to Node where the agent names none', async () => {
      const { network } = await made({}, { NODE_EXTRA_CA_CERTS: join(dir, 'extra.pem') });
      assert.equal(network.http.ca, undefined);
    });

    for (const name of ['gone.pem', 'key.pem', 'torn.pem'])
      it(`is refused when the file cannot be used: ${name}`, async () => {
        const error = await refusal({ caFile: join(dir, name) });
        assert.ok(error.message.includes(name), error.message);
      });
  });

  describe('for git', () => {
    it('is given by the environment, for http and https and what is not past the proxy only', async () => {
      const proxy = { url: 'http://proxy.example:1', bypass: ['inner\\.example'] };
      const { network } = await made({ proxy, caFile: join(dir, 'corp.pem') });
      assert.deepEqual(network.forGit('https://git.example/x/_git/y'), {
        http_proxy: 'http://proxy.example:1/',
        https_proxy: 'http://proxy.example:1/',
        GIT_SSL_CAINFO: join(dir, 'corp.pem'),
        GIT_PROXY_SSL_CAINFO: join(dir, 'corp.pem'),
      });
      assert.equal(network.forGit('https://inner.example/x.git')['https_proxy'], undefined);
      assert.deepEqual(network.forGit('git@git.example:x/y'), {});
      assert.deepEqual(network.forGit('/srv/git/x.git'), {});
    });

    it('takes git itself through the proxy, with a password of awkward characters', async () => {
      const proxy = await connectProxy({ names: {}, credentials: 'nc:p@ss/w:#' });
      // libcurl decodes twice what git decoded once: a % before two hex digits is lost there, and not tried here.
      try {
        const { network } = await made({
          proxy: {
            url: `http://127.0.0.1:${proxy.port}`,
            username: 'nc',
            password: new Secret('p@ss/w:#'),
            bypass: [],
          },
        });
        const url = 'https://git.example/x.git';
        const git = spawn('git', ['ls-remote', url], {
          env: { PATH: process.env['PATH'], HOME: dir, GIT_TERMINAL_PROMPT: '0', ...network.forGit(url) },
          stdio: 'ignore',
        });
        await new Promise((resolve) => git.on('close', resolve));
        // 502 to whom the right password has: git was let through to a name that this proxy does not know.
        assert.ok(proxy.asked.length > 0);
        assert.ok(
          proxy.asked.every((line) => line === 'CONNECT git.example:443 HTTP/1.1'),
          proxy.asked.join('\n'),
        );
        assert.ok(proxy.passed > 0, 'git never gave the right password');
      } finally {
        proxy.close();
      }
    });
  });
});
