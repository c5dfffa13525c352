/** Services that send a node's requests to pods on that very node only: their policy is `Local`. */
import type { Service } from 'kubernetes-types/core/v1';
import type { Wait } from '../../../ports/ports.ts';
import { must } from './api.ts';
import type { KubeApi } from './api.ts';

export interface LocalService {
  namespace: string;
  name: string;
  /** External IPs, and the load balancer's address. */
  addresses: readonly string[];
  nodePorts: readonly number[];
}

export async function localServices(api: KubeApi, wait: Wait): Promise<LocalService[]> {
  const { items } = must(await api.list<Service>('/api/v1/services', wait), 'list /api/v1/services');
  return items.flatMap(({ metadata, spec }) =>
    spec?.externalTrafficPolicy !== 'Local'
      ? []
      : [
          {
            namespace: metadata?.namespace ?? '',
            name: metadata?.name ?? '',
            addresses: [
              ...(spec.externalIPs ?? []),
              ...(spec.loadBalancerIP === undefined ? [] : [spec.loadBalancerIP]),
            ],
            nodePorts: (spec.ports ?? []).flatMap(({ nodePort }) => nodePort ?? []),
          },
        ],
  );
}
