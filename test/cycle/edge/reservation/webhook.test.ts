/** Reservations over HTTP, against a real small service. */
import assert from 'node:assert/strict';
import { createServer as createTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer as createTcp } from 'node:net';
import { createHash, X509Certificate } from 'node:crypto';
import { parse } from 'zod/mini';
import { addresses, type WebhookConfig } from '../../../../cycle/config/schema-addresses.ts';
import { webhookReservations } from '../../../../cycle/edge/reservation/webhook.ts';
import { macAs, plainMac } from '../../../../cycle/edge/reservation/service.ts';
import { CodedError } from '../../../../ports/errors.ts';
import { openHttp } from '../../../../ports/http.ts';
import { PortError } from '../../../../ports/ports.ts';
import { Secret } from '../../../../ports/secret.ts';
import { selfSigned } from '../../../lab/traffic/servers.ts';
import { startService, TOKEN, type Service } from './service.ts';

const signal = () => new AbortController().signal;
const FIND = { find: { path: '/reservations?name={name}' } };

function configOf(url: string, over: object = {}): WebhookConfig {
  const parsed = parse(addresses, {
    source: 'reservation',
    ranges: ['10.0.0.60-10.0.0.79'],
    service: { kind: 'webhook', url, macForm: 'dashes', deadlineSeconds: 2, ...over },
  });
  assert.ok(parsed.source === 'reservation' && parsed.service.kind === 'webhook');
  return parsed.service;
}

describe('A reservation service over HTTP', () => {
  const opened = openHttp();
  let service: Service;
  before(async () => {
    service = await startService();
  });
  afterEach(() => {
    service.leases.clear();
    service.seen.length = 0;
    service.before = undefined;
    service.again = 'same';
  });
  after(async () => {
    opened.close();
    await service.stop();
  });
  const client = (over: object = {}, token = new Secret(TOKEN)) =>
    webhookReservations({ http: opened.http, service: configOf(service.url, over), token });
  const fails = (promise: Promise<unknown>, code: string, words: RegExp) =>
    assert.rejects(promise, (error: unknown) => {
      assert.ok(error instanceof CodedError, String(error));
      assert.equal(error.code, code);
      assert.match([error.message, ...error.evidence].join('\n'), words);
      assert.ok(![error.message, ...error.evidence].join('\n').includes(TOKEN), 'the token is in a message');
      return true;
    });

  it('reserves by name, gives the same again, and releases by MAC in the form that it wants', async () => {
    const first = await client().reserve('home-n5', signal());
    assert.match(first.mac, /^00:15:5d:00:00:[0-9a-f]{2}$/);
    assert.equal(first.address, '10.0.0.60');
    assert.deepEqual(await client().reserve('home-n5', signal()), first);
    assert.equal(await client().release(first.mac, signal()), 'released');
    assert.equal(await client().release(first.mac, signal()), 'notThere');
    assert.equal(service.leases.size, 0);
    assert.deepEqual(service.seen, [
      'POST /dhcp/reservations {"name":"home-n5"}',
      'POST /dhcp/reservations {"name":"home-n5"}',
      ...Array.from(
        { length: 2 },
        () => `DELETE /dhcp/reservations/${first.mac.toUpperCase().replaceAll(':', '-')}`,
      ),
    ]);
  });

  it('looks a name up, also when the service only says that it is taken', async () => {
    const known = client(FIND);
    assert.equal(await known.find?.('home-n5', signal()), undefined);
    const first = await known.reserve('home-n5', signal());
    assert.deepEqual(await known.find?.('home-n5', signal()), first);
    service.again = 'conflict';
    assert.deepEqual(await known.reserve('home-n5', signal()), first);
    await fails(
      client().reserve('home-n5', signal()),
      'NC4083',
      /home-n5 has a reservation already.*\n.*taken/,
    );
    assert.equal(client().find, undefined);
  });

  it('takes a conflict that holds the reservation as the answer', async () => {
    service.before = () => ({ status: 409, body: '{"mac":"00155D0000AA","address":"10.0.0.70"}' });
    assert.deepEqual(await client().reserve('home-n5', signal()), {
      mac: '00:15:5d:00:00:aa',
      address: '10.0.0.70',
    });
  });

  it('speaks to a service with its own paths, methods and fields', async () => {
    service.before = (method) => ({
      status: 200,
      body: method === 'PUT' ? '{"lease":{"hw":"00:15:5d:00:00:bb","ip":"10.0.0.71"}}' : '',
    });
    const own = client({
      reserve: { method: 'PUT', path: '/hosts/{name}' },
      release: { method: 'POST', path: '/free' },
      fields: { name: 'host', mac: 'lease.hw', address: 'lease.ip' },
      macForm: 'plain',
    });
    const reserved = await own.reserve('a b/c', signal());
    assert.deepEqual(reserved, { mac: '00:15:5d:00:00:bb', address: '10.0.0.71' });
    await own.release(reserved.mac, signal());
    assert.deepEqual(service.seen, [
      'PUT /dhcp/hosts/a%20b%2Fc {"host":"a b/c"}',
      'POST /dhcp/free {"lease":{"hw":"00155D0000BB"}}',
    ]);
  });

  it('tells no answer for now, a refusal and an unreadable answer apart', async () => {
    service.before = () => ({ status: 503, body: 'restarting' });
    await fails(client().reserve('home-n5', signal()), 'NC4080', /status 503.*\n?.*restarting/);
    service.before = () => ({ status: 422, body: '{"error":"no such pool"}' });
    await fails(client().reserve('home-n5', signal()), 'NC4081', /status 422.*\n.*no such pool/);
    service.before = () => ({ status: 302, body: '' });
    await fails(client().release('00:15:5d:00:00:01', signal()), 'NC4081', /status 302/);
    service.before = () => ({ status: 200, body: '<html>welcome</html>' });
    await fails(client().reserve('home-n5', signal()), 'NC4082', /expected JSON, found <html>/);
    const answers: [string, RegExp][] = [
      ['{"address":"10.0.0.70"}', /"mac", found no such field/],
      ['{"mac":"00:15:5d:00:00","address":"10.0.0.70"}', /found "00:15:5d:00:00"/],
      ['{"mac":"01:15:5d:00:00:01","address":"10.0.0.70"}', /the MAC of an adapter/],
      ['{"mac":"00:15:5d:00:00:01","address":"10.0.0.256"}', /IPv4 address in "address"/],
      ['{"mac":"00:15:5d:00:00:01","address":"fe80::1"}', /IPv4 address/],
      ['null', /no such field/],
      [`"${'x'.repeat(70_000)}"`, /more than 65536 bytes/],
    ];
    for (const [body, words] of answers) {
      service.before = () => ({ status: 200, body });
      await fails(client().reserve('home-n5', signal()), 'NC4082', words);
    }
    service.before = () => ({ status: 200, body: '[{"name":"a"},{"name":"b"}]' });
    await fails(client(FIND).find?.('home-n5', signal()) ?? assert.fail(), 'NC4082', /2 reservations/);
  });

  it('shows the token in no message, even when the service repeats it', async () => {
    service.before = () => ({ status: 400, body: `you sent ${TOKEN}` });
    await fails(client().reserve('home-n5', signal()), 'NC4081', /you sent \*\*\*/);
    service.before = undefined;
    const wrong = client({}, new Secret('another-token'));
    await fails(wrong.reserve('home-n5', signal()), 'NC4081', /status 401.*\n.*Bearer \*\*\* is not welcome/);
  });

  it('waits for a silent service no longer than its deadline, and stops when it is told to', async () => {
    const silent = createTcp();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const slow = webhookReservations({
      http: opened.http,
      service: configOf(url, { deadlineSeconds: 0.2 }),
      token: undefined,
    });
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 50);
    await assert.rejects(slow.reserve('n', abort.signal), (error) => error instanceof PortError);
    await assert.rejects(slow.reserve('n', signal()), (error) => error instanceof PortError);
    silent.close();
  });

  it('trusts a certificate that nobody signed by its fingerprint alone', async () => {
    const { cert, key } = selfSigned('dhcp.example');
    const tls = createTls({ cert, key }, (_request, response) => {
      response.end('{"mac":"00:15:5d:00:00:01","address":"10.0.0.60"}');
    });
    await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(tls.address() as AddressInfo).port}`;
    const certificate = createHash('sha256').update(new X509Certificate(cert).raw).digest('hex');
    const pinned = (pin: string | undefined) =>
      webhookReservations({
        http: opened.http,
        service: configOf(url, pin === undefined ? {} : { certificate: pin }),
        token: new Secret(TOKEN),
      }).reserve('home-n5', signal());
    assert.equal((await pinned(certificate.toUpperCase())).address, '10.0.0.60');
    for (const pin of [undefined, '0'.repeat(64)])
      await assert.rejects(pinned(pin), (error) => error instanceof PortError && error.kind === 'tls');
    tls.close();
    tls.closeAllConnections();
  });
});

describe('A MAC', () => {
  it('is read in every usual form, and written in the one that is asked for', () => {
    for (const text of ['00155D0A0B0C', '00-15-5D-0A-0B-0C', '00:15:5d:0a:0b:0c', '00:15:5D:0A:0B:0C'])
      assert.equal(plainMac(text), '00:15:5d:0a:0b:0c');
    assert.equal(macAs('dashes', '00:15:5d:0a:0b:0c'), '00-15-5D-0A-0B-0C');
    assert.equal(macAs('plain', '00:15:5d:0a:0b:0c'), '00155D0A0B0C');
    assert.equal(macAs('colons', '00:15:5d:0a:0b:0c'), '00:15:5d:0a:0b:0c');
  });

  it('is none when it is mixed, short, of a group, of nobody or with something behind it', () => {
    const bad = [
      '00:15-5d:0a:0b:0c',
      '00155D0A0B',
      'ff:ff:ff:ff:ff:ff',
      '00:00:00:00:00:00',
      '00155D0A0B0C;rm',
      '',
    ];
    for (const text of bad) assert.equal(plainMac(text), undefined, text);
  });
});
