/**
 * How one ingress sees the pods behind a Service: a list that follows the EndpointSlices a little late, and what
 * happens when it connects to one of them.
 */
import { pass } from '../clock.ts';
import type { LabWorld } from '../create.ts';
import { SERVICE_LABEL } from '../kube/controllers/endpoints.ts';
import type { PodProcess } from '../kube/kube.ts';
import type { EndpointSliceObject, SliceEndpoint } from '../kube/objects.ts';

export interface UpstreamView {
  /** Pod uids in turn, the next one first; each is tried at most once for one request. */
  turn(): string[];
  close(): void;
}

export function watchUpstreams(world: LabWorld, namespace: string, service: string): UpstreamView {
  const { kube, clock, timing, random } = world;
  let pods = readyPods(kube.store.list('endpointslices', namespace), service);
  let next = Math.floor(random() * 1_000);
  const stop = kube.store.on(({ resource, object }) => {
    if (resource !== 'endpointslices' || object.metadata.labels?.[SERVICE_LABEL] !== service) return;
    if (object.metadata.namespace !== namespace) return;
    const lagMs = timing.ingressLagMin + random() * (timing.ingressLagMax - timing.ingressLagMin);
    clock.after(lagMs, () => {
      pods = readyPods(kube.store.list('endpointslices', namespace), service);
    });
  });
  return {
    turn() {
      next += 1;
      return pods.map((_, at) => pods[(next + at) % pods.length] ?? '');
    },
    close: stop,
  };
}

function readyPods(slices: EndpointSliceObject[], service: string): string[] {
  const endpoints: SliceEndpoint[] = slices
    .filter(({ metadata }) => metadata.labels?.[SERVICE_LABEL] === service)
    .flatMap((slice) => slice.endpoints);
  return endpoints
    .filter(({ conditions }) => conditions.ready === true)
    .map(({ targetRef }) => targetRef?.uid ?? '')
    .filter((uid) => uid !== '');
}

/** Work in flight, by pod; tells a pod that ends when it is idle. */
export interface Flights {
  begin(process: PodProcess): () => void;
  count(process: PodProcess): number;
}

export function createFlights(): Flights {
  const counts = new Map<string, number>();
  const waiting = new Map<string, () => void>();
  return {
    begin(process) {
      const { uid } = process;
      counts.set(uid, (counts.get(uid) ?? 0) + 1);
      process.finish ??= (done) => {
        if ((counts.get(uid) ?? 0) === 0) done();
        else waiting.set(uid, done);
      };
      let over = false;
      return () => {
        if (over) return;
        over = true;
        const left = (counts.get(uid) ?? 1) - 1;
        if (left > 0) {
          counts.set(uid, left);
          return;
        }
        counts.delete(uid);
        waiting.get(uid)?.();
        waiting.delete(uid);
      };
    },
    count: ({ uid }) => counts.get(uid) ?? 0,
  };
}

/** `refused`: nothing was sent. `broken`: the pod may have seen the request. */
export type Answer = { kind: 'answered'; process: PodProcess } | { kind: 'refused' } | { kind: 'broken' };

/** One request to one pod, taking `workMs`. */
export async function askPod(
  world: LabWorld,
  flights: Flights,
  uid: string,
  workMs: number,
): Promise<Answer> {
  const process = world.kube.processes.all.get(uid);
  if (process === undefined) {
    // Its machine may be without power: then nobody even refuses.
    const lost = lostMachine(world, uid);
    if (lost) await pass(world.clock, world.timing.connectTimeout);
    return { kind: 'refused' };
  }
  if (process.state === 'stopping') return { kind: 'refused' };
  const done = flights.begin(process);
  try {
    await pass(world.clock, workMs);
    return world.kube.processes.all.get(uid) === process ? { kind: 'answered', process } : { kind: 'broken' };
  } finally {
    done();
  }
}

function lostMachine(world: LabWorld, uid: string): boolean {
  const pod = world.kube.store.list('pods').find(({ metadata }) => metadata.uid === uid);
  if (pod?.spec.nodeName === undefined) return false;
  return world.machineNamed(pod.spec.nodeName)?.powered !== true;
}

/**
 * A request as the ingress passes it on: to the next pod in turn; to one more when the first refused the connection,
 * or broke off and the request may be repeated.
 */
export async function forward(
  world: LabWorld,
  flights: Flights,
  view: UpstreamView,
  request: { idempotent: boolean; workMs: number },
): Promise<PodProcess | undefined> {
  const tries = 2;
  for (const uid of view.turn().slice(0, tries)) {
    const answer = await askPod(world, flights, uid, request.workMs);
    if (answer.kind === 'answered') return answer.process;
    if (answer.kind === 'broken' && !request.idempotent) return undefined;
  }
  return undefined;
}
