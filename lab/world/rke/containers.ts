/**
 * Containers on a host as rke handles them: made new when their image or arguments differ, otherwise left. With a
 * real etcd the `etcd` container is a process.
 */
import { createHash } from 'node:crypto';
import type { Machine } from '../world.ts';
import type { RkeSurroundings, Run } from './run.ts';

export interface Host {
  node: { address: string; hostnameOverride: string };
  machine: Machine;
}

const SSL_CA = '/etc/kubernetes/ssl/kube-ca.pem';

/** What each container was last started with. Kept by machine and name: a reboot starts it again as it was. */
const started = new WeakMap<Machine, Map<string, { args: string; ca: string }>>();

export function caOf(machine: Machine): string {
  return createHash('sha256')
    .update(machine.files.get(SSL_CA) ?? '')
    .digest('hex');
}

export function argsOf(machine: Machine, name: string): string | undefined {
  return machine.containers.has(name) ? (started.get(machine)?.get(name)?.args ?? '') : undefined;
}

/** The container answers to certificates of the CA that is on the machine now. */
export function trustsPresentCa(machine: Machine, name: string): boolean {
  return machine.containers.has(name) && started.get(machine)?.get(name)?.ca === caOf(machine);
}

/** Starts a container, without a word. */
export function startContainer(
  around: Pick<RkeSurroundings, 'world'>,
  machine: Machine,
  name: string,
  image: string,
  args: string,
): void {
  const notes = started.get(machine) ?? new Map<string, { args: string; ca: string }>();
  started.set(machine, notes);
  notes.set(name, { args, ca: caOf(machine) });
  around.world.startContainer(machine, name, image);
}

export function image(run: Run, name: string, host: Host): void {
  run.info(`Image [${name}] exists on host [${host.node.address}]`);
}

/** Pulls what is not there, as the pre-pull does. */
export async function pull(run: Run, name: string, host: Host): Promise<void> {
  if (!host.machine.images.has(name)) {
    run.info(`Pulling image [${name}] on host [${host.node.address}], try #1`);
    await run.pause(400);
    host.machine.images.add(name);
  }
  image(run, name, host);
}

/** A helper container: started, perhaps awaited, removed. */
export function task(
  run: Run,
  host: Host,
  name: string,
  options: { said: string; tools: string; wait?: boolean; remove?: 'said' | 'silent' },
): void {
  const { address } = host.node;
  image(run, options.tools, host);
  run.info(`Starting container [${name}] on host [${address}], try #1`);
  run.info(`${options.said}Successfully started [${name}] container on host [${address}]`);
  if (options.wait === true) {
    run.info(`Waiting for [${name}] container to exit on host [${address}]`);
    run.info(`Waiting for [${name}] container to exit on host [${address}]`);
  }
  if (options.remove !== undefined) {
    run.info(`Removing container [${name}] on host [${address}], try #1`);
    if (options.remove === 'said')
      run.info(`[remove/${name}] Successfully removed container on host [${address}]`);
  }
}

export function linkLog(run: Run, host: Host, plane: string, tools: string): void {
  task(run, host, 'rke-log-linker', { said: `[${plane}] `, tools, remove: 'said' });
}

export function removeContainer(run: Run, host: Host, name: string): void {
  const { address } = host.node;
  run.info(`Removing container [${name}] on host [${address}], try #1`);
  run.around.world.stopContainer(host.machine, name);
  run.info(`[remove/${name}] Successfully removed container on host [${address}]`);
}

/** How long a container is away while it is made new. */
const AWAY_MS: Record<string, number> = { 'kube-apiserver': 120, kubelet: 60 };

export interface Wanted {
  name: string;
  plane: string;
  image: string;
  args: string;
}

export function differs(host: Host, wanted: Wanted): boolean {
  const container = host.machine.containers.get(wanted.name);
  return container?.image !== wanted.image || argsOf(host.machine, wanted.name) !== wanted.args;
}

/** Starts the container, or makes it new when it differs; `start` and `stop` are what its process needs. */
export async function ensure(
  run: Run,
  host: Host,
  wanted: Wanted,
  process: { stop?: () => Promise<void>; start?: () => Promise<void>; before?: () => void } = {},
): Promise<'started' | 'updated' | 'kept'> {
  const { address } = host.node;
  const { name, plane } = wanted;
  const exists = host.machine.containers.has(name);
  if (exists && !differs(host, wanted)) return 'kept';
  if (exists) run.info(`Checking if container [${name}] is running on host [${address}], try #1`);
  await pull(run, wanted.image, host);
  if (exists) {
    run.info(`Checking if container [old-${name}] is running on host [${address}], try #1`);
    run.info(`Stopping container [${name}] on host [${address}] with stopTimeoutDuration [5s], try #1`);
    run.info(`Waiting for [${name}] container to exit on host [${address}]`);
    run.around.world.stopContainer(host.machine, name);
    await process.stop?.();
    await run.pause(AWAY_MS[name] ?? 30);
    run.info(`Renaming container [${name}] to [old-${name}] on host [${address}], try #1`);
  }
  run.info(`Starting container [${name}] on host [${address}], try #1`);
  process.before?.();
  startContainer(run.around, host.machine, name, wanted.image, wanted.args);
  await process.start?.();
  await run.pause(20);
  run.info(
    exists
      ? `[${plane}] Successfully updated [${name}] container on host [${address}]`
      : `[${plane}] Successfully started [${name}] container on host [${address}]`,
  );
  if (exists) run.info(`Removing container [old-${name}] on host [${address}], try #1`);
  return exists ? 'updated' : 'started';
}

export async function healthcheck(run: Run, host: Host, name: string): Promise<void> {
  const { address } = host.node;
  run.info(`[healthcheck] Start Healthcheck on service [${name}] on host [${address}]`);
  await run.pause(30);
  run.info(`[healthcheck] service [${name}] on host [${address}] is healthy`);
}

export async function restart(
  run: Run,
  host: Host,
  name: string,
  process: { stop?: () => Promise<void>; start?: () => Promise<void> } = {},
): Promise<void> {
  const { address } = host.node;
  const container = host.machine.containers.get(name);
  if (container === undefined) return;
  const args = argsOf(host.machine, name) ?? '';
  run.info(`Restarting container [${name}] on host [${address}], try #1`);
  run.around.world.stopContainer(host.machine, name);
  await process.stop?.();
  await run.pause(AWAY_MS[name] ?? 30);
  startContainer(run.around, host.machine, name, container.image, args);
  await process.start?.();
  run.info(`[restart/${name}] Successfully restarted container on host [${address}]`);
}
