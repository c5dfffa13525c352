/** Whoever answers HTTP, by address and port: apiservers, etcd members, the bridge, the service, ingress and proxy. */
import { X509Certificate } from 'node:crypto';
import type { LabWorld } from '../../lab/world/create.ts';
import type { EtcdModel } from '../../lab/world/etcd/model.ts';
import type { Machine } from '../../lab/world/world.ts';
import { INGRESS } from '../../lab/world/workloads/manifests.ts';
import { PortError, type HttpRequest, type HttpResponse } from '../../ports/ports.ts';
import type { Far } from '../wire.ts';
import type { BridgeMachine } from './bridge-machine.ts';
import type { ProxyModel } from './proxy.ts';

export interface HttpFarSides {
  world: LabWorld;
  etcd: EtcdModel;
  bridge: BridgeMachine;
  service: { url: string; token: string; isOver(run: string): boolean | undefined };
  proxy: { address: string; port: number; upstream: string; model: ProxyModel };
  ports: { api: number; etcdClient: number; ingressHttp: number };
}

export function farOf(sides: HttpFarSides, { url, connectTo }: Pick<HttpRequest, 'url' | 'connectTo'>): Far {
  const { hostname, port } = place(url, connectTo);
  if (url.startsWith(sides.service.url)) return 'service';
  if (url.startsWith(sides.bridge.url)) return 'bridge';
  if (hostname === sides.proxy.address) return 'proxy';
  if (port === sides.ports.api) return 'kubernetes';
  return port === sides.ports.etcdClient ? 'etcd' : 'ingress';
}

function place(url: string, connectTo?: string): { hostname: string; port: number; path: string } {
  const parsed = new URL(url);
  const [host, port] = (connectTo ?? parsed.host).split(':');
  return {
    hostname: host ?? '',
    port: Number(port ?? (parsed.protocol === 'https:' ? 443 : 80)),
    path: `${parsed.pathname}${parsed.search}`,
  };
}

export function answerHttp(
  sides: HttpFarSides,
): (request: HttpRequest, signal: AbortSignal) => Promise<HttpResponse> {
  const { world } = sides;
  const signed = new Map<string, boolean>();
  const isSigned = (cert: string, ca: string): boolean => {
    const key = `${cert}${ca}`;
    const known = signed.get(key);
    if (known !== undefined) return known;
    const verdict = new X509Certificate(cert).checkIssued(new X509Certificate(ca));
    signed.set(key, verdict);
    return verdict;
  };
  const failed = (kind: PortError['kind'], text: string, sent = false) =>
    new PortError(kind, 'http', text, sent);
  const machineAt = (address: string): Machine => {
    const machine = world.machineAt(address);
    if (machine === undefined) throw failed('unreachable', `${address} does not answer`);
    return machine;
  };
  const mutual = (machine: Machine, tls: HttpRequest['tls']) => {
    const ca = Buffer.from(machine.files.get('/etc/kubernetes/ssl/kube-ca.pem') ?? '').toString('utf8');
    if (tls?.ca?.trim() !== ca.trim()) throw failed('tls', 'self signed certificate in certificate chain');
    if (tls.cert === undefined || !isSigned(tls.cert, ca)) throw failed('tls', 'certificate required');
  };
  const textOf = (body: HttpRequest['body']): string =>
    body === undefined ? '' : typeof body === 'string' ? body : Buffer.from(body).toString('utf8');

  const ingress = (address: string, port: number): HttpResponse => {
    const machine = machineAt(address);
    const serves =
      port === sides.ports.ingressHttp &&
      machine.up &&
      [...world.kube.processes.all.values()].some(
        (process) =>
          process.machine === machine &&
          process.state === 'running' &&
          process.labels['app.kubernetes.io/name'] === INGRESS.app,
      );
    if (!serves) throw failed('refused', `${address}:${port}: connection refused`);
    return response(200, { 'content-type': 'text/plain' }, 'ok\n');
  };

  return async (request, signal) => {
    const { method, url, tls, headers = {} } = request;
    const { hostname, port, path } = place(url, request.connectTo);
    switch (farOf(sides, request)) {
      case 'kubernetes': {
        const machine = machineAt(hostname);
        if (!world.kube.serves(machine)) throw failed('refused', `${hostname}:${port}: connection refused`);
        mutual(machine, tls);
        const answered = world.kube.handle({ method, url: path, headers, body: textOf(request.body) });
        return response(answered.status, answered.headers, answered.body);
      }
      case 'etcd': {
        const machine = machineAt(hostname);
        const member = sides.etcd.members().find(({ address }) => address === hostname);
        if (!machine.up || member?.running !== true || !machine.containers.has('etcd'))
          throw failed('refused', `${hostname}:${port}: connection refused`);
        mutual(machine, tls);
        const answered = sides.etcd.answer(hostname, method, path, textOf(request.body));
        return response(answered.status, { 'content-type': answered.contentType }, answered.body);
      }
      case 'bridge':
        return sides.bridge.request({ method, path, headers, body: request.body, tls }, signal);
      case 'service': {
        const run = /\/_apis\/build\/builds\/([^/?]+)/.exec(path)?.[1] ?? '';
        if (headers['authorization'] !== `Bearer ${sides.service.token}`) return response(401, {}, '');
        const over = sides.service.isOver(run);
        if (over === undefined) return response(404, {}, '');
        return response(
          200,
          {},
          JSON.stringify({ id: Number(run), status: over ? 'completed' : 'inProgress' }),
        );
      }
      case 'proxy': {
        if (port !== sides.proxy.port) throw failed('refused', `${hostname}:${port}: connection refused`);
        for (const { host, port: to } of sides.proxy.model.serving(sides.proxy.upstream)) {
          try {
            return ingress(host, to);
          } catch {
            // nginx tries the next one.
          }
        }
        return response(502, {}, '502 Bad Gateway');
      }
      default:
        return ingress(hostname, port);
    }
  };
}

export function response(
  status: number,
  headers: Record<string, string>,
  body: string | Uint8Array,
): HttpResponse {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
  return {
    status,
    headers,
    body: {
      async *[Symbol.asyncIterator]() {
        yield bytes;
      },
    },
  };
}
