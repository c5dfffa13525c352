/**
 * The seed holds the node's private host key: it is removed once the guest has read it. An address shows that the
 * guest is up; a guest that never reports one has had its hour.
 */
import { setAsideRoot } from './host.ts';
import type { Host } from './host.ts';
import { usableAddress } from '../server/ranges.ts';

/** cloud-init reads the seed in the first minute of the first boot. */
export const SEED_LIMIT_MS = 3_600_000;

/** Asks the host only when there is a seed at all. */
export async function ejectSeeds(host: Host): Promise<void> {
  const seeded = host.records.all().filter(({ seed }) => seed !== undefined);
  if (seeded.length === 0) return;
  const vms = await host.vms();
  const policy = host.policy();
  for (const { id, seed: path = '', at } of seeded) {
    const vm = vms.find((one) => one.id === id);
    const read = vm?.addresses.some(usableAddress) ?? false;
    if (vm && !read && host.clock.now() - Date.parse(at) < SEED_LIMIT_MS) continue;
    if (vm) await host.run('vm-eject-seed', { id, path, roots: [policy.vmRoot, setAsideRoot(policy)] });
    // Read again: a job may have changed the record while the script ran.
    const record = host.records.get(id);
    if (!record) continue;
    const { seed: _gone, ...kept } = record;
    host.records.put(kept);
  }
}
