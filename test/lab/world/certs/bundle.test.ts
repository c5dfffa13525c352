import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { parse } from 'yaml';
import { newBundle, renewApiserver, renewEtcd } from '../../../../lab/world/certs/bundle.ts';
import type { Bundle, BundleRequest } from '../../../../lab/world/certs/bundle.ts';

const request: BundleRequest = {
  hosts: [
    {
      address: '127.0.0.1',
      internalAddress: '127.0.0.1',
      hostname: 'home-n1',
      role: ['controlplane', 'etcd'],
    },
    { address: '127.0.0.2', internalAddress: '127.0.0.2', hostname: 'home-n2', role: ['worker'] },
  ],
  sans: ['cp-home.home.example'],
  clusterName: 'home',
  serviceAddress: '10.43.0.1',
  domain: 'cluster.local',
  apiPort: 6443,
  nowMs: Date.now(),
};

function cert(bundle: Bundle, name: string): X509Certificate {
  const entry = bundle[name];
  assert.ok(entry, `no ${name}`);
  return new X509Certificate(entry.certificatePEM);
}

describe('the certificates of an rkestate', () => {
  let bundle: Bundle;
  before(async () => {
    bundle = await newBundle(request);
  });

  it('has an entry for each component and one for each etcd host', () => {
    assert.deepEqual(Object.keys(bundle).sort(), [
      'kube-admin',
      'kube-apiserver',
      'kube-apiserver-proxy-client',
      'kube-apiserver-requestheader-ca',
      'kube-ca',
      'kube-controller-manager',
      'kube-etcd-127-0-0-1',
      'kube-node',
      'kube-proxy',
      'kube-scheduler',
      'kube-service-account-token',
    ]);
  });

  it('lets the apiserver answer for its address, its name, the alias and the service', () => {
    const names = cert(bundle, 'kube-apiserver').subjectAltName ?? '';
    for (const name of [
      'IP Address:127.0.0.1',
      'DNS:home-n1',
      'DNS:cp-home.home.example',
      'DNS:kubernetes.default.svc.cluster.local',
      'IP Address:10.43.0.1',
    ])
      assert.ok(names.includes(name), `${name} in ${names}`);
    assert.ok(!names.includes('127.0.0.2'));
  });

  it('signs everything but the front proxy with the one CA', () => {
    const ca = cert(bundle, 'kube-ca');
    for (const name of ['kube-apiserver', 'kube-admin', 'kube-node', 'kube-etcd-127-0-0-1'])
      assert.ok(cert(bundle, name).verify(ca.publicKey), name);
    assert.ok(!cert(bundle, 'kube-apiserver-proxy-client').verify(ca.publicKey));
  });

  it('gives a kubeconfig with which a client and a server prove themselves to each other', async () => {
    const config = parse(bundle['kube-admin']?.config ?? '') as {
      clusters: { cluster: { 'certificate-authority-data': string; server: string } }[];
      users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[];
    };
    const from = (text: string | undefined) => Buffer.from(text ?? '', 'base64');
    assert.equal(config.clusters[0]?.cluster.server, 'https://127.0.0.1:6443');
    const server = createServer(
      {
        key: bundle['kube-apiserver']?.keyPEM,
        cert: bundle['kube-apiserver']?.certificatePEM,
        ca: bundle['kube-ca']?.certificatePEM,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (_request, response) => response.end('ok'),
    );
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    try {
      const status = await new Promise<number | undefined>((resolve, reject) => {
        httpsRequest(
          {
            host: '127.0.0.1',
            port: (server.address() as AddressInfo).port,
            ca: from(config.clusters[0]?.cluster['certificate-authority-data']),
            cert: from(config.users[0]?.user['client-certificate-data']),
            key: from(config.users[0]?.user['client-key-data']),
          },
          (response) => {
            response.resume();
            resolve(response.statusCode);
          },
        )
          .on('error', reject)
          .end();
      });
      assert.equal(status, 200);
    } finally {
      server.close();
    }
  });

  it('keeps the CA when the list of hosts changes, and drops the certificate of a host that left', async () => {
    const moved: BundleRequest = {
      ...request,
      hosts: [{ address: '127.0.0.3', internalAddress: '127.0.0.3', hostname: 'home-n3', role: ['etcd'] }],
    };
    const next = await renewApiserver(await renewEtcd(bundle, moved), moved);
    assert.equal(next['kube-ca']?.certificatePEM, bundle['kube-ca']?.certificatePEM);
    assert.equal(next['kube-etcd-127-0-0-1'], undefined);
    assert.ok(cert(next, 'kube-etcd-127-0-0-3').verify(cert(bundle, 'kube-ca').publicKey));
    assert.ok(!(cert(next, 'kube-apiserver').subjectAltName ?? '').includes('home-n1'));
  });
});
