import assert from 'node:assert/strict';
import { loadConfig, renderErrors } from '../../../cycle/config.ts';
import type { Config, ConfigError } from '../../../cycle/config.ts';
import { edited, GOOD, SMALLEST } from './example.ts';

function good(text: string): Config {
  const result = loadConfig(text, 'node-cycle.yml');
  if ('errors' in result) assert.fail(renderErrors(result.errors));
  return result.config;
}

function bad(text: string): ConfigError[] {
  const result = loadConfig(text, 'node-cycle.yml');
  if ('config' in result) assert.fail('it was accepted');
  return result.errors;
}

describe('node-cycle.yml', () => {
  it('with every section is read as it stands', () => {
    const config = good(GOOD);
    assert.equal(config.cluster, 'demo');
    assert.deepEqual(config.window, {
      timeZone: 'Europe/Berlin',
      days: ['mon', 'tue', 'wed', 'thu'],
      from: '22:00',
      to: '04:00',
      atGates: 'approval',
    });
    assert.deepEqual(config.ingress?.sync, {
      tool: 'argocd',
      application: 'ingress-nginx',
      namespace: 'argocd',
    });
    assert.deepEqual(
      config.proxies.map(({ name, port, drainSeconds }) => ({ name, port, drainSeconds })),
      [
        { name: 'pi', port: 22, drainSeconds: 300 },
        { name: 'pi2', port: 22, drainSeconds: 300 },
      ],
    );
  });

  it('needs only the cluster, rke, addresses and the image; the rest has defaults', () => {
    const config = good(SMALLEST);
    assert.equal(config.rke.config, 'cluster.yml');
    assert.equal(config.age.limitDays, 60);
    assert.equal(config.names.pattern, '{cluster}-n{n}');
    assert.equal(config.kubernetes.readyInARow, 3);
    assert.equal(config.lock.limitDays, 7);
    assert.deepEqual([config.proxies, config.dns, config.window], [[], undefined, undefined]);
  });

  it('may be written with Windows line ends, comments and anchors', () => {
    assert.equal(good(GOOD.replaceAll('\n', '\r\n')).cluster, 'demo');
    const shared = edited('roles: [worker]', 'roles: *edge # the same nodes').replace(
      'drainSeconds: 300\n',
      'drainSeconds: 300\n    roles: &edge [etcd]\n',
    );
    assert.deepEqual(good(shared).ingress?.roles, ['etcd']);
  });

  it('lets a proxy have an address from a DHCP range, where somebody else gives them out', () => {
    const text = edited('source: static', 'source: dhcp').replace('host: 10.0.0.5', 'host: 10.0.0.65');
    assert.equal(good(text).proxies[0]?.host, '10.0.0.65');
  });

  it('tells all faults at once, in the order of the file', () => {
    const text = edited('limitDays: 60', 'limitDays: old')
      .replace('Europe/Berlin', 'Berlin')
      .replace('10.0.1.10-10.0.1.19', '10.0.1.19-10.0.1.10')
      .replace('name: pi2', 'name: pi')
      .replace('singleMember', 'singleMembers');
    assert.deepEqual(
      bad(text).map(({ line, code, path }) => `${line} ${code} ${path}`),
      [
        '7 NC1105 age.limitDays',
        '9 NC1112 window.timeZone',
        '19 NC1110 addresses.ranges[1]',
        '40 NC1121 proxies[1].name',
        '71 NC1103 allow.singleMembers',
      ],
    );
  });

  it('is told by file, line and column, what was expected, what was found, and what was meant', () => {
    assert.equal(
      renderErrors(bad(edited('bootMinutes', 'bootMinute'))),
      'node-cycle.yml:25:3 NC1103 vm.bootMinute: The key is unknown. ' +
        'Expected one of image, sizes, placement, bootMinutes, buildMinutes, requireNewer; ' +
        'found the unknown key "bootMinute". Did you mean bootMinutes?',
    );
  });

  it('shows a long value shortened and on one line', () => {
    const [error] = bad(edited('cluster: demo', `cluster: "A${'b'.repeat(500)}\\n##vso[task.complete]"`));
    assert.ok(error !== undefined && error.found.length < 60 && !error.found.includes('\n'));
  });

  it('does not unfold aliases that multiply each other', () => {
    const levels = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (let at = 1; at < 9; at++) {
      const before = String.fromCharCode(96 + at);
      const name = String.fromCharCode(97 + at);
      levels.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(', ')}]`);
    }
    assert.deepEqual(
      bad(levels.join('\n')).map(({ code, found }) => `${code} ${found}`),
      ['NC1101 aliases that multiply each other'],
    );
  });

  it('is refused unread when it is far too long', () => {
    const [error] = bad(`cluster: demo\n${'#'.repeat(300_000)}`);
    assert.equal(error?.expected, 'at most 262144 characters');
  });

  it('does not take a key of the language for a key of its own', () => {
    const codes = bad(edited('cluster: demo', 'cluster: demo\n__proto__: { a: 1 }\nconstructor: 1'));
    assert.ok(codes.every(({ code }) => code === 'NC1103') && codes.length >= 1);
  });
});
