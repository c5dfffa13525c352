/**
 * What runs in the lab's cluster: the network on every node, the ingress and a node-local cache on workers, and a
 * shop with four replicas, a budget and a wait before its SIGTERM.
 */
import type { Store } from '../kube/store.ts';
import type { PodSpec, Toleration } from '../kube/objects.ts';

export interface WorkloadPorts {
  /** Host ports of the ingress. */
  http: number;
  stream: number;
}

export const INGRESS = {
  namespace: 'ingress-nginx',
  app: 'ingress-nginx',
  service: 'ingress-nginx-controller',
} as const;
export const SHOP = { namespace: 'shop', app: 'shop', service: 'shop', port: 8080 } as const;
export const CACHE = { namespace: 'shop', app: 'node-cache', service: 'node-cache', port: 11211 } as const;

/** What RKE gives to pods that must run everywhere. */
const EVERYWHERE: Toleration[] = [
  { operator: 'Exists', effect: 'NoSchedule' },
  { operator: 'Exists', effect: 'NoExecute' },
];
const WORKERS = { 'node-role.kubernetes.io/worker': 'true' };

export function installWorkloads(store: Store, ports: WorkloadPorts, replicas = 4): void {
  for (const name of [INGRESS.namespace, SHOP.namespace]) {
    if (store.get('namespaces', name) === undefined) {
      store.create('namespaces', {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name },
        status: { phase: 'Active' },
      });
    }
  }
  daemonSet(
    store,
    'kube-system',
    'canal',
    { 'k8s-app': 'canal' },
    {
      hostNetwork: true,
      containers: [{ name: 'calico-node', image: 'rancher/mirrored-calico-node:v3.17.2' }],
      tolerations: EVERYWHERE,
      terminationGracePeriodSeconds: 0,
      priorityClassName: 'system-node-critical',
    },
  );
  daemonSet(
    store,
    'kube-system',
    'proxy-metrics',
    { 'k8s-app': 'proxy-metrics' },
    {
      hostNetwork: true,
      containers: [{ name: 'proxy-metrics', image: 'rancher/hyperkube:v1.20.15-rancher2' }],
      tolerations: EVERYWHERE,
      terminationGracePeriodSeconds: 1,
    },
  );
  daemonSet(
    store,
    INGRESS.namespace,
    INGRESS.service,
    { 'app.kubernetes.io/name': INGRESS.app },
    {
      hostNetwork: true,
      nodeSelector: WORKERS,
      containers: [
        {
          name: 'controller',
          image: 'rancher/nginx-ingress-controller:nginx-0.49.3-rancher1',
          ports: [
            { name: 'http', containerPort: ports.http, hostPort: ports.http },
            { name: 'stream', containerPort: ports.stream, hostPort: ports.stream },
          ],
        },
      ],
      // ingress-nginx lets its connections end, for as long as this.
      terminationGracePeriodSeconds: 300,
    },
  );
  daemonSet(
    store,
    CACHE.namespace,
    CACHE.app,
    { app: CACHE.app },
    {
      nodeSelector: WORKERS,
      containers: [
        {
          name: 'cache',
          image: 'memcached:1.6',
          ports: [{ containerPort: CACHE.port }],
          lifecycle: { preStop: {} },
        },
      ],
      terminationGracePeriodSeconds: 30,
    },
  );
  service(store, INGRESS.namespace, INGRESS.service, { 'app.kubernetes.io/name': INGRESS.app }, [
    { name: 'http', port: 80, targetPort: ports.http },
    { name: 'stream', port: 9000, targetPort: ports.stream },
  ]);
  service(store, SHOP.namespace, SHOP.service, { app: SHOP.app }, [
    { name: 'http', port: 80, targetPort: SHOP.port },
  ]);
  service(store, CACHE.namespace, CACHE.service, { app: CACHE.app }, [
    { name: 'memcached', port: CACHE.port, targetPort: CACHE.port },
  ]);
  shop(store, replicas);
}

function shop(store: Store, replicas: number): void {
  const labels = { app: SHOP.app };
  store.create('deployments', {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: SHOP.app, namespace: SHOP.namespace, labels },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          nodeSelector: WORKERS,
          containers: [
            {
              name: 'shop',
              image: 'example/shop:1.4.2',
              ports: [{ name: 'http', containerPort: SHOP.port }],
              resources: { requests: { cpu: '100m', memory: '128Mi' } },
              lifecycle: { preStop: { exec: { command: ['sleep', '5'] } } },
            },
          ],
          terminationGracePeriodSeconds: 30,
        },
      },
    },
    status: {},
  });
  store.create('poddisruptionbudgets', {
    apiVersion: 'policy/v1beta1',
    kind: 'PodDisruptionBudget',
    metadata: { name: SHOP.app, namespace: SHOP.namespace },
    spec: { maxUnavailable: 1, selector: { matchLabels: labels } },
  });
}

function daemonSet(
  store: Store,
  namespace: string,
  name: string,
  labels: Record<string, string>,
  spec: PodSpec,
): void {
  store.create('daemonsets', {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace, labels },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    status: {},
  });
}

function service(
  store: Store,
  namespace: string,
  name: string,
  selector: Record<string, string>,
  ports: { name: string; port: number; targetPort: number }[],
): void {
  store.create('services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { selector, type: 'ClusterIP', ports: ports.map((port) => ({ ...port, protocol: 'TCP' })) },
  });
}
