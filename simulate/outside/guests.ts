/** SSH to the nodes and, at the proxy's address, to its one account, behind the `Ssh` port. */
import type { LabWorld } from '../../lab/world/create.ts';
import { pass } from '../../lab/world/clock.ts';
import { runCommand } from '../../lab/world/nodes/commands.ts';
import { PortError, type SshRequest, type SshResult } from '../../ports/ports.ts';
import type { ProxyModel } from './proxy.ts';

export interface ProxyAccount {
  host: string;
  port: number;
  hostKey: string;
  privateKey: string;
  model: ProxyModel;
}

export function sshTo(
  world: LabWorld,
  nodes: { port: number; key: { private: string; public: string } },
  proxy: ProxyAccount,
): (request: Pick<SshRequest, 'target' | 'command' | 'stdin'>) => Promise<SshResult> {
  const failed = (kind: PortError['kind'], text: string) => new PortError(kind, 'ssh', text);
  return async ({ target, command, stdin }) => {
    if (target.host === proxy.host && target.port === proxy.port) {
      if (!target.hostKeys.includes(proxy.hostKey)) throw failed('hostkey', 'the host key is another one');
      if (target.privateKey !== proxy.privateKey) throw failed('auth', 'the key was not accepted');
      return proxy.model.call(
        command,
        typeof stdin === 'string' ? Buffer.from(stdin) : (stdin ?? new Uint8Array()),
      );
    }
    const machine = world.machineAt(target.host);
    if (machine === undefined) throw failed('unreachable', `${target.host} does not answer`);
    if (!machine.up || target.port !== nodes.port)
      throw failed('refused', `${target.host}: connection refused`);
    // Accepted, and never a word: the caller's deadline ends it.
    if (machine.ssh === 'silent') return new Promise<never>(() => undefined);
    if (!target.hostKeys.includes(machine.sshHostKey.public))
      throw failed('hostkey', `${target.host} has another host key`);
    const line = target.privateKey === nodes.key.private ? nodes.key.public : '';
    if (!machine.authorizedKeys.includes(line)) throw failed('auth', `${target.host} refused the key`);
    const result = runCommand(machine, world.clock, command);
    await pass(world.clock, result.tookMs);
    if (world.machineAt(target.host) !== machine)
      throw new PortError('closed', 'ssh', `${target.host}: the connection was reset`, true);
    return { exitCode: result.code, stdout: result.stdout, stderr: result.stderr };
  };
}
