/** `vm.stop`: power off, at once. For a node that is dead or empty; nothing on it needs to say goodbye. */
import type { HostOperation } from '../../jobs/host-operation.ts';
import { CHANGES } from '../../protocol/operations.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import { isOurs } from '../host.ts';
import type { Host } from '../host.ts';
import type { ScriptResult } from '../scripts.ts';

export function vmStop(host: Host): HostOperation {
  return {
    deadlineMs: CHANGES['vm.stop'].deadlineMs,
    async prepare({ params: given }) {
      const { id } = given as Params<'vm.stop'>;
      const vm = (await host.vms()).find((one) => one.id === id);
      if (!vm) return { ok: false, error: 'notFound' };
      if (!isOurs(vm)) return { ok: false, error: 'notOurs' };
      if (vm.state === 'off')
        return { ok: 'already', result: { id, state: 'off' } satisfies Result<'vm.stop'> };
      return { ok: true, script: 'vm-stop', input: { id, gracefulSeconds: 0 }, secrets: [], context: {} };
    },
    async finish(given, _context, scriptResult) {
      const { id } = given as Params<'vm.stop'>;
      const { state } = scriptResult as ScriptResult<'vm-stop'>;
      if (state !== 'off') return { ok: false, error: 'badResult' };
      return { ok: true, result: { id, state } satisfies Result<'vm.stop'> };
    },
    // A power-off leaves nothing behind.
    cleanUp: async () => true,
  };
}
