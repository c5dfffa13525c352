/** The size of a successor, as an id of bridge.yaml. */
import type { Config, Role } from '../config/schema.ts';

/** Size of the first role that has one, in the order of weight. */
export function sizeFor(config: Config, roles: readonly Role[]): string | undefined {
  for (const role of ['controlplane', 'etcd', 'worker'] as const) {
    const size = config.vm.sizes[role];
    if (roles.includes(role) && size !== undefined) return size;
  }
  return undefined;
}
