/** The three reads. */
import { isFinished, spent } from '../../log/fold.ts';
import type { Job, State } from '../../log/state.ts';
import type { Params, Result } from '../../protocol/operations.ts';
import type { VmView } from '../../protocol/operations.ts';
import type { JobView } from '../../protocol/wire.ts';
import type { ClientPolicy } from '../../server/policy.ts';
import { usableAddress } from '../../server/ranges.ts';
import { imageSourceHash, perNodeImages, printedMac } from '../host.ts';
import type { FoundVm, Host } from '../host.ts';

const DAY_MS = 86_400_000;

export interface ReadFacts {
  host: Host;
  state: State;
  bridgeVersion: string;
  certificateExpiresAt: string;
}

export async function hostRead(
  { host, state, ...facts }: ReadFacts,
  client: ClientPolicy,
): Promise<Result<'host.read'>> {
  const policy = host.policy();
  const { info, images } = await host.overview();
  const nowMs = host.clock.now();
  const left = (budget: keyof ClientPolicy['budgets']) =>
    Math.max(0, client.budgets[budget] - spent(state, client.name, budget, nowMs));
  return {
    hosts: [info],
    images: [...images, ...perNodeImages(policy, host.disk, nowMs)]
      .filter(({ id }) => client.images.includes(id))
      .map(({ id, builtAt, version, sourceHash }) => {
        const tooOld = nowMs - Date.parse(builtAt) > (policy.images[id]?.maxAgeDays ?? 0) * DAY_MS;
        return {
          id,
          builtAt,
          version,
          sourceHash,
          stale: tooOld || sourceHash !== imageSourceHash(policy, host.disk, id),
        };
      }),
    ...facts,
    clientPolicy: {
      addressRanges: client.addressRanges,
      switches: client.switches,
      sizes: client.sizes,
      images: client.images,
      maxRunningVms: client.maxRunningVms,
      budgetsLeft: {
        creations: left('creations'),
        deletions: left('deletions'),
        imageBuilds: left('imageBuilds'),
        dnsSwaps: left('dnsSwaps'),
        stops: left('stops'),
      },
    },
  };
}

export async function vmRead(
  { host, state }: ReadFacts,
  client: ClientPolicy,
  params: Params<'vm.read'>,
): Promise<Result<'vm.read'>> {
  const vms = await host.vms();
  return { vms: vms.map((vm) => viewOf(vm, client)), jobs: jobsOf(state, client.name, params.cluster) };
}

export async function dnsRead(
  { host }: ReadFacts,
  { zone, names }: Params<'dns.read'>,
): Promise<Result<'dns.read'>> {
  const servers = host.policy().zones[zone]?.servers ?? [];
  return host.run('dns-read', { servers, zone, names });
}

/** A VM of another client's cluster is shown as a stranger: its name and addresses are taken, no more. */
function viewOf(vm: FoundVm, client: ClientPolicy): VmView {
  const { read, record } = vm;
  const cluster = record?.cluster ?? read.marker?.cluster;
  const mayKnow = cluster === undefined || client.clusters.includes(cluster);
  const image = record?.image ?? read.marker?.image;
  const imageBuiltAt = record?.imageBuiltAt ?? read.marker?.imageBuiltAt;
  return {
    id: vm.id,
    host: vm.host,
    name: vm.name,
    state: vm.state,
    setAside: record?.setAside !== undefined,
    ...(record?.setAside && mayKnow
      ? { setAsideAt: record.setAside.at, purgeAt: record.setAside.purgeAt }
      : {}),
    adopted: record !== undefined && mayKnow,
    ...(read.marker && mayKnow ? { marker: read.marker } : {}),
    createdAt: vm.createdAt,
    ...(image !== undefined && mayKnow ? { image } : {}),
    ...(imageBuiltAt !== undefined && mayKnow ? { imageBuiltAt } : {}),
    addresses: vm.addresses.filter(usableAddress),
    mac: printedMac(vm.mac),
    cpuCount: vm.cpuCount,
    memoryMb: vm.memoryMb,
    startAction: vm.startAction,
    startDelaySeconds: vm.startDelaySeconds,
    ...(vm.vlan === null ? {} : { vlan: vm.vlan }),
    notesOwner: read.owner,
    sshHostKeys: mayKnow ? (record?.sshHostKeys ?? []) : [],
  };
}

/** This client's unfinished jobs, and the last finished one of each target. */
function jobsOf(state: State, client: string, cluster: string): JobView[] {
  const mine = [...state.jobs.values()].filter(
    (job) => job.client === client && (job.cluster === undefined || job.cluster === cluster),
  );
  const lastFinished = new Map<string, Job>();
  for (const job of mine) {
    const other = lastFinished.get(job.target);
    if (isFinished(job) && (!other || (job.endedAt ?? '') >= (other.endedAt ?? '')))
      lastFinished.set(job.target, job);
  }
  return mine.filter((job) => !isFinished(job) || lastFinished.get(job.target) === job).map(viewOfJob);
}

export function viewOfJob(job: Job): JobView {
  return {
    id: job.id,
    op: job.op,
    target: job.target,
    state: job.state,
    paramsHash: job.paramsHash,
    acceptedAt: job.acceptedAt,
    ...(job.endedAt === undefined ? {} : { endedAt: job.endedAt }),
    ...(job.result === undefined ? {} : { result: job.result }),
    ...(job.error === undefined ? {} : { error: job.error }),
  };
}
