import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectProxy } from '../ports/connect-proxy.ts';

const BUNDLE = fileURLToPath(new URL('../../dist/tasks/ProvisionNode/index.js', import.meta.url));

const CONFIG = (stateDir: string) => `cluster: home
rke: { config: cluster.yml, branch: main, binary: /bin/false, stateDir: ${stateDir} }
names: { pattern: "{cluster}-n{n}" }
addresses: { source: static, ranges: [10.9.0.60-10.9.0.79] }
vm: { image: ubuntu-node, sizes: { controlplane: server, etcd: server, worker: agent } }
ssh: { knownHosts: known_hosts }
pace: { pollMs: 50, settleSeconds: 1 }
`;

const CLUSTER = `cluster_name: home
kubernetes_version: v1.20.15-rancher2-1
nodes:
  - { address: 10.9.0.1, hostname_override: home-n1, user: rke, role: [controlplane, etcd, worker] }
`;

const KUBECONFIG = `apiVersion: v1
kind: Config
current-context: home
clusters: [{ name: home, cluster: { server: "https://10.9.0.1:6443" } }]
contexts: [{ name: home, context: { cluster: home, user: home } }]
users: [{ name: home, user: { token: not-a-token } }]
`;

describe('a bundled task on an agent with a proxy', () => {
  let dir: string;
  let certificate: string;
  let key: string;

  before(() => {
    assert.ok(existsSync(BUNDLE), 'npm run build makes the bundles');
    dir = mkdtempSync(join(tmpdir(), 'nc-bundle-'));
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '40'],
        ...['-keyout', join(dir, 'k.pem'), '-out', join(dir, 'c.pem'), '-subj', '/CN=agent'],
      ],
      { stdio: 'ignore' },
    );
    certificate = readFileSync(join(dir, 'c.pem'), 'utf8');
    key = readFileSync(join(dir, 'k.pem'), 'utf8');
    for (const state of ['state', 'fresh'])
      writeFileSync(join(dir, `${state}.yml`), CONFIG(join(dir, state)));
    const git = (...args: string[]) =>
      execFileSync(
        'git',
        ['-C', join(dir, 'repository'), '-c', 'user.name=x', '-c', 'user.email=x@x', ...args],
        {
          stdio: 'ignore',
        },
      );
    mkdirSync(join(dir, 'repository'));
    mkdirSync(join(dir, 'state'));
    writeFileSync(join(dir, 'repository', 'cluster.yml'), CLUSTER);
    git('init', '-b', 'main');
    git('add', '.');
    git('commit', '-m', 'cluster');
    const part = {
      rkeConfig: {
        nodes: [{ address: '10.9.0.1', hostnameOverride: 'home-n1', role: ['controlplane', 'etcd'] }],
      },
      certificatesBundle: {
        'kube-ca': { certificatePEM: certificate },
        'kube-admin': { certificatePEM: certificate, config: KUBECONFIG },
      },
    };
    const state = JSON.stringify({ desiredState: part, currentState: part });
    writeFileSync(join(dir, 'state', 'cluster.rkestate'), state);
  });

  after(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  async function run(agent: Record<string, string>, repository?: string): Promise<string> {
    const connection = (id: string, url: string, parts: Record<string, string>) => ({
      [`ENDPOINT_URL_${id}`]: url,
      [`ENDPOINT_AUTH_${id}`]: JSON.stringify({ scheme: 'None', parameters: parts }),
      ...Object.fromEntries(
        Object.entries(parts).map(([name, value]) => [
          `ENDPOINT_AUTH_PARAMETER_${id}_${name.toUpperCase()}`,
          value,
        ]),
      ),
    });
    const child = spawn(process.execPath, [BUNDLE], {
      cwd: dir,
      env: {
        PATH: process.env['PATH'],
        HOME: dir,
        AGENT_TEMPDIRECTORY: dir,
        // Without rke's state on the agent it is git that is asked first.
        INPUT_CONFIG: join(dir, repository === undefined ? 'state.yml' : 'fresh.yml'),
        INPUT_OLDNODE: 'home-n1',
        INPUT_NEWNODE: 'home-n2',
        INPUT_BRIDGE: 'bridge',
        INPUT_NODES: 'nodes',
        BUILD_REPOSITORY_URI: repository ?? join(dir, 'repository'),
        ...connection('bridge', 'https://bridge.example:8443', { certificate, key }),
        ENDPOINT_DATA_bridge_SERVERFINGERPRINT: 'ab'.repeat(32),
        ...connection('nodes', 'ssh://nodes', { privateKey: key }),
        ...agent,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    await new Promise((resolve) => child.on('close', resolve));
    // The task library tells its debug lines to the agent, which masks the password in them.
    return output
      .split('\n')
      .filter((line) => !line.startsWith('##vso[task.debug]') && !line.startsWith('##vso[task.setsecret]'))
      .join('\n');
  }

  async function refused(repository?: string): Promise<{ output: string; asked: string[]; port: number }> {
    const proxy = await connectProxy({ names: {}, credentials: 'nc:s3cret-pass', fault: { status: 403 } });
    try {
      const agent = {
        AGENT_PROXYURL: `http://127.0.0.1:${proxy.port}`,
        AGENT_PROXYUSERNAME: 'nc',
        AGENT_PROXYPASSWORD: 's3cret-pass',
      };
      const output = await run(agent, repository);
      assert.ok(proxy.passed > 0, output);
      assert.ok(!output.includes('s3cret-pass'), output);
      return { output, asked: proxy.asked, port: proxy.port };
    } finally {
      proxy.close();
    }
  }

  it('asks it for the API server, with the name and password of the agent, and says what it answers', async () => {
    const { output, asked, port } = await refused();
    assert.deepEqual([...new Set(asked)], ['CONNECT 10.9.0.1:6443 HTTP/1.1']);
    assert.match(output, /the proxy answers CONNECT 10\.9\.0\.1:6443 with 403/);
    assert.ok(output.includes(`through the proxy 127.0.0.1:${port}`), output);
  });

  it('sends git through it', async () => {
    const { output, asked } = await refused('https://git.example/home/_git/home');
    assert.ok(asked.includes('CONNECT git.example:443 HTTP/1.1'), output);
  });

  it('fails before anything else when the CA file of the agent is missing', async () => {
    const output = await run({ AGENT_CAINFO: join(dir, 'gone.pem') });
    assert.match(output, /NC5007/);
    assert.ok(output.includes('gone.pem'), output);
  });
});
