/**
 * An SSH server for each machine that is up, on its own address: its host key, its authorised keys, its few commands
 * (lab/world/nodes). It goes when the machine goes; a machine that is set to `silent` accepts and says nothing.
 */
import { createServer as createTcp } from 'node:net';
import type { Server as TcpServer, Socket } from 'node:net';
import ssh2 from 'ssh2';
import type { Connection, ParsedKey } from 'ssh2';
import type { LabWorld } from '../world/create.ts';
import { runCommand } from '../world/nodes/commands.ts';
import type { Machine } from '../world/world.ts';

export interface NodeSsh {
  /** Resolves when every machine that is up now has its server. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

type SshWorld = Pick<LabWorld, 'clock' | 'machines' | 'on'> & { count?: LabWorld['count'] };

interface Listening {
  machine: Machine;
  close(): Promise<void>;
}

export function serveNodeSsh(world: SshWorld, options: { port: number }): NodeSsh {
  const open = new Map<string, Promise<Listening>>();
  let closed = false;

  const start = (machine: Machine) => {
    if (closed || open.has(machine.vmId)) return;
    const listening = listen(world, machine, options.port);
    open.set(machine.vmId, listening);
    listening.catch(() => open.delete(machine.vmId));
  };
  const stop = async (vmId: string) => {
    const listening = open.get(vmId);
    open.delete(vmId);
    await listening?.then((one) => one.close()).catch(() => undefined);
  };
  for (const machine of world.machines.values()) if (machine.up) start(machine);
  world.on((event) => {
    if (event.kind === 'machine.up') start(event.machine);
    else if (event.kind === 'machine.down') void stop(event.machine.vmId);
  });
  return {
    async ready() {
      await Promise.all(open.values());
    },
    async close() {
      closed = true;
      await Promise.all([...open.keys()].map(stop));
    },
  };
}

/** A TCP listener in front, so that silence can begin and end while it listens. */
async function listen(world: SshWorld, machine: Machine, port: number): Promise<Listening> {
  const sockets = new Set<Socket>();
  const sshd = new ssh2.Server(
    { hostKeys: [machine.sshHostKey.private], ident: 'OpenSSH_8.9p1' },
    (client) => {
      serve(world, machine, client);
    },
  );
  const tcp: TcpServer = createTcp((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    if (machine.ssh === 'silent') socket.resume();
    else sshd.injectSocket(socket);
  });
  await new Promise<void>((resolve, reject) => {
    tcp.once('error', reject);
    tcp.listen(port, machine.address, resolve);
  });
  return {
    machine,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        tcp.close(() => {
          resolve();
        });
      }),
  };
}

function serve(world: SshWorld, machine: Machine, client: Connection): void {
  client.on('error', () => undefined);
  client.on('authentication', (context) => {
    if (context.method !== 'publickey') {
      context.reject(['publickey']);
      return;
    }
    const line = `${context.key.algo} ${context.key.data.toString('base64')}`;
    if (!machine.authorizedKeys.includes(line)) {
      context.reject(['publickey']);
      return;
    }
    if (context.signature === undefined || context.blob === undefined) {
      context.accept();
      return;
    }
    const key: ParsedKey | ParsedKey[] | Error = ssh2.utils.parseKey(line);
    const one = [key].flat()[0];
    const proven =
      one !== undefined &&
      !(one instanceof Error) &&
      one.verify(context.blob, context.signature, context.hashAlgo);
    if (proven) context.accept();
    else context.reject(['publickey']);
  });
  client.on('ready', () => {
    client.on('session', (accept) => {
      const session = accept();
      session.on('exec', (acceptExec, _reject, info) => {
        world.count?.('ssh');
        const channel = acceptExec();
        channel.on('error', () => undefined);
        const result = runCommand(machine, world.clock, info.command);
        world.clock.after(result.tookMs, () => {
          if (result.stderr !== '') channel.stderr.write(result.stderr);
          if (result.stdout !== '') channel.write(Buffer.from(result.stdout, 'latin1'));
          channel.exit(result.code);
          channel.end();
        });
      });
    });
  });
}
