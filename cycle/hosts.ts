/**
 * The Hyper-V hosts of a run, each through its own bridge. A host is known by the name that it gives itself, the same
 * in `host.read` and on each of its VMs; only a bridge that does not answer is called by its URL.
 */
import type { BridgeClient } from '../agent-bridge/client/client.ts';
import type { Result, VmView } from '../agent-bridge/protocol/operations.ts';
import type { JobView } from '../agent-bridge/protocol/wire.ts';
import { CodedError } from '../ports/errors.ts';
import type { Wait } from '../ports/ports.ts';

export interface HostBridge {
  /** Of its service connection. */
  readonly url: string;
  readonly client: BridgeClient;
  /** Learnt from its first answer that names it. */
  host?: string | undefined;
}

/** One host: its memory and disk, its images, and what its bridge grants. `host` is its name. */
export type HostSeen = Omit<Result<'host.read'>, 'hosts'> & Result<'host.read'>['hosts'][number];

/** @throws CodedError of the client with the bridge's URL in it, NC5008 when two bridges are on one host. */
export async function readHosts(bridges: readonly HostBridge[], wait: Wait): Promise<HostSeen[]> {
  const seen = await Promise.all(bridges.map((bridge) => naming(bridge, readHost(bridge, wait))));
  const first = new Map<string, string>();
  for (const [index, { host }] of seen.entries()) {
    const url = bridges[index]?.url ?? '';
    const other = first.get(host);
    if (other !== undefined)
      throw new CodedError('NC5008', `${other} and ${url} both say that they are ${host}.`);
    first.set(host, url);
  }
  return seen;
}

async function readHost(bridge: HostBridge, wait: Wait): Promise<HostSeen> {
  const { hosts, ...rest } = await bridge.client.read('host.read', {}, wait);
  const [own] = hosts;
  if (own === undefined) throw new CodedError('NC2009', 'host.read names no host.');
  bridge.host = own.host;
  return { ...rest, ...own };
}

export interface VmsSeen {
  vms: VmView[];
  /** This client's, of all hosts. */
  jobs: JobView[];
  /** One for each bridge that did not answer: what may be on its host is not in the list. */
  silent: CodedError[];
}

/** @throws CodedError of the client with the bridge's URL in it, for anything but silence. */
export async function readVms(bridges: readonly HostBridge[], cluster: string, wait: Wait): Promise<VmsSeen> {
  const seen: VmsSeen = { vms: [], jobs: [], silent: [] };
  const answers = await Promise.all(
    bridges.map((bridge) =>
      naming(bridge, bridge.client.read('vm.read', { cluster }, wait)).catch((error: unknown) => {
        if (!isSilence(error)) throw error;
        return error;
      }),
    ),
  );
  for (const [index, answer] of answers.entries()) {
    if (answer instanceof CodedError) {
      seen.silent.push(answer);
      continue;
    }
    const bridge = bridges[index];
    if (bridge !== undefined) bridge.host ??= answer.vms[0]?.host;
    seen.vms.push(...answer.vms);
    seen.jobs.push(...answer.jobs);
  }
  return seen;
}

/** Of every host: also that no host has a VM can be read out of it. Throws as `readVms`, and for silence. */
export async function readAllVms(
  bridges: readonly HostBridge[],
  cluster: string,
  wait: Wait,
): Promise<VmView[]> {
  const { vms, silent } = await readVms(bridges, cluster, wait);
  if (silent[0] !== undefined) throw silent[0];
  return vms;
}

/** The bridge on the host of that name, which an observation has seen. Throws CodedError NC5009. */
export function bridgeOn(bridges: readonly HostBridge[], host: string): HostBridge {
  const found = bridges.find((bridge) => bridge.host === host);
  if (found !== undefined) return found;
  throw new CodedError(
    'NC5009',
    `No bridge of this task is on ${host}.`,
    bridges.map(({ url, host: name }) => `${url}: ${name ?? 'has not said its name'}`),
  );
}

/** The bridge did not answer, so its host may hold anything. */
export function isSilence(error: unknown): error is CodedError {
  return error instanceof CodedError && (error.code === 'NC2005' || error.code === 'NC2007');
}

/** With several hosts, an error of the client alone does not say whose it is. */
export async function naming<T>({ url, host }: HostBridge, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const who = host === undefined ? url : `${host} (${url})`;
    throw new CodedError(error.code, `${who}: ${error.detail}`, error.evidence, { cause: error });
  }
}
