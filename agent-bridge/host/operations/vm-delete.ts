/**
 * Deletion has two acts. `vm.delete` sets the VM aside; the bridge itself purges it after `keepStopped`, and a person
 * may bring it back until then.
 */
import { join } from 'node:path';
import type { HostOperation } from '../../jobs/host-operation.ts';
import { CHANGES } from '../../protocol/operations.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import { isOurs, setAsideRoot } from '../host.ts';
import type { Host } from '../host.ts';
import type { ScriptResult } from '../scripts.ts';

const HOUR_MS = 3_600_000;

/** The bridge's own operation; no client can ask for it. */
export const PURGE_OPERATION = 'vm.purge';

export function vmDelete(host: Host): HostOperation {
  return {
    deadlineMs: CHANGES['vm.delete'].deadlineMs,
    async prepare({ params: given }) {
      const { id } = given as Params<'vm.delete'>;
      const vm = (await host.vms()).find((one) => one.id === id);
      if (!vm) return { ok: false, error: 'notFound' };
      if (!isOurs(vm)) return { ok: false, error: 'notOurs' };
      const { setAside } = vm.record;
      if (setAside) {
        const result: Result<'vm.delete'> = { id, setAsideAt: setAside.at, purgeAt: setAside.purgeAt };
        return { ok: 'already', result };
      }
      const policy = host.policy();
      return {
        ok: true,
        script: 'vm-set-aside',
        input: {
          id,
          newName: `${vm.record.node}-set-aside-${id.slice(0, 8)}`,
          folder: join(setAsideRoot(policy), id),
          gracefulSeconds: policy.gracefulStopSeconds,
        },
        secrets: [],
        context: { folder: join(setAsideRoot(policy), id) },
      };
    },
    async finish(given, context, scriptResult) {
      const { id } = given as Params<'vm.delete'>;
      const { folder } = context as { folder: string };
      const { state, name, disks } = scriptResult as ScriptResult<'vm-set-aside'>;
      const record = host.records.get(id);
      if (state !== 'off' || !record) return { ok: false, error: 'badResult' };
      const nowMs = host.clock.now();
      const at = record.setAside?.at ?? new Date(nowMs).toISOString();
      const purgeAt = new Date(Date.parse(at) + host.policy().keepStoppedHours * HOUR_MS).toISOString();
      host.records.put({ ...record, setAside: { at, purgeAt, name, disks, folder } });
      return { ok: true, result: { id, setAsideAt: at, purgeAt } satisfies Result<'vm.delete'> };
    },
    // Half set aside is still ours and still there: the next `vm.delete` goes on with it.
    cleanUp: async () => true,
  };
}

export function vmPurge(host: Host): HostOperation {
  return {
    deadlineMs: CHANGES['vm.delete'].deadlineMs,
    async prepare({ params: given }) {
      const { id } = given as { id: string };
      const record = host.records.get(id);
      // A person may have taken it back since the job was made.
      if (!record?.setAside || Date.parse(record.setAside.purgeAt) > host.clock.now()) {
        return { ok: false, error: 'notFound' };
      }
      const vm = (await host.vms()).find((one) => one.id === id);
      if (vm && (!isOurs(vm) || vm.state !== 'off')) return { ok: false, error: 'notOurs' };
      const policy = host.policy();
      const { folder, disks } = record.setAside;
      return {
        ok: true,
        script: 'vm-purge',
        input: { id: vm ? id : null, folder, disks, roots: [policy.vmRoot, setAsideRoot(policy)] },
        secrets: [],
        context: {},
      };
    },
    async finish(given) {
      const { id } = given as { id: string };
      host.records.remove(id);
      return { ok: true, result: { id } };
    },
    cleanUp: async () => true,
  };
}
