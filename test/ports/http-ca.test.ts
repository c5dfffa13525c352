import assert from 'node:assert/strict';
import { createServer as createTlsServer } from 'node:https';
import { openHttp } from '../../ports/http.ts';
import type { HttpRequest } from '../../ports/ports.ts';
import {
  closeAll,
  closers,
  failure,
  listen,
  makeCertificates,
  pem,
  proxied,
  removeCertificates,
  text,
  WAIT,
} from './proxy-rig.ts';

describe('a custom CA of the http adapter', () => {
  before(makeCertificates);
  afterEach(closeAll);
  after(removeCertificates);

  const service = () =>
    listen(
      createTlsServer({ key: pem['service.key'], cert: pem['service'] }, (_request, response) =>
        response.end('service'),
      ),
    );
  const request = (port: number, tls?: HttpRequest['tls']): HttpRequest => ({
    method: 'GET',
    url: 'https://service.example/',
    connectTo: `127.0.0.1:${port}`,
    tls,
    ...WAIT,
  });
  const opened = (ca: string[]) => {
    const adapter = openHttp({ ca });
    closers.push(adapter.close);
    return adapter;
  };

  it('is trusted besides the system, and an unknown one is refused before anything is sent', async () => {
    const port = await service();
    const known = opened([pem['agent'] ?? '', pem['service'] ?? '']);
    assert.equal(await text(await known.http(request(port))), 'service');
    const error = await failure(opened([pem['agent'] ?? '']), request(port));
    assert.deepEqual([error.kind, error.sent], ['tls', false]);
  });

  it('still checks the name', async () => {
    const port = await service();
    const error = await failure(opened([pem['service'] ?? '']), {
      ...request(port),
      url: 'https://other.example/',
    });
    assert.deepEqual([error.kind, error.sent], ['tls', false]);
  });

  it('adds nothing to a request that brings its own CA', async () => {
    const port = await service();
    const error = await failure(opened([pem['service'] ?? '']), request(port, { ca: pem['agent'] }));
    assert.deepEqual([error.kind, error.sent], ['tls', false]);
  });

  it('holds behind a tunnel', async () => {
    const { adapter } = await proxied({ names: { 'service.example:443': await service() } }, {}, [
      pem['service'] ?? '',
    ]);
    const response = await adapter.http({ method: 'GET', url: 'https://service.example/', ...WAIT });
    assert.equal(await text(response), 'service');
  });
});
