/** UpdateIngress: the places of addresses in the external nginx and in the cluster's ingress values. */
import type { Config } from '../config/schema.ts';
import {
  addBeside,
  markDown,
  markUp,
  placesOf,
  removeAddress,
  restore,
  type RemovedLine,
} from '../edge/nginx/upstreams.ts';
import { addIngressAddress, removeIngressAddress } from '../edge/gitops/values.ts';
import type { Facts } from '../facts.ts';
import { addressOf, isOff, type IngressSeen, type ProxySeen, type Slice } from '../observed.ts';
import { refuse, type Action, type Plan, type Refusal } from '../step.ts';

export type IngressWorld = Slice<
  'nowMs' | 'facts' | 'lock' | 'vms' | 'intent' | 'proxies' | 'ingress' | 'probes'
>;

export interface IngressInput {
  leaving: string;
  staying: string;
  side: 'in' | 'out';
}

export type NginxEdit = (files: Readonly<Record<string, string>>) => Record<string, string>;

export interface IngressActs {
  /** Reads, edits, tests, reloads and proves; restores when any of it fails. */
  changeProxy(name: string, edit: NginxEdit, signal: AbortSignal): Promise<void>;
  /** Waits until the proxy has no connection to the address, or its `drainSeconds` are over. */
  drainProxy(name: string, address: string, signal: AbortSignal): Promise<void>;
  /** Commits the values file as `edit` makes it from the branch's tip. */
  editValues(edit: (text: string) => string, message: string, signal: AbortSignal): Promise<void>;
  /** Makes the GitOps tool look at the new commit. */
  requestSync(signal: AbortSignal): Promise<void>;
  writeFacts(change: Partial<Facts>, signal: AbortSignal): Promise<void>;
}

export function planUpdateIngress<W extends IngressWorld>(
  config: Config,
  input: IngressInput,
  acts: IngressActs,
  world: W,
): Plan<W> {
  const leaving = addressOf(world, config.cluster, input.leaving);
  const staying = addressOf(world, config.cluster, input.staying);
  // A successor that never had an address can have no place anywhere.
  if (leaving === undefined && world.facts.direction === 'back') return [];
  if (leaving === undefined || staying === undefined) {
    return refuse('NC1217', 'The address of a node of the pair is not known.', [
      `${input.leaving}: ${leaving ?? '?'}`,
      `${input.staying}: ${staying ?? '?'}`,
    ]);
  }
  const way: Way = { config, leaving, staying, names: input, settleMs: config.pace.settleSeconds * 1000 };
  return input.side === 'in' ? planIn(way, acts, world) : planOut(way, acts, world);
}

interface Way {
  config: Config;
  leaving: string;
  staying: string;
  names: IngressInput;
  settleMs: number;
}

function planIn<W extends IngressWorld>(way: Way, acts: IngressActs, world: W): Plan<W> {
  const { config, leaving, staying } = way;
  const actions: Action<W>[] = [];
  const inValues = wantsIngress(way, world) && world.ingress?.addresses.includes(staying) === false;
  const proxies = world.proxies.filter((proxy) => isChange(bringIn(way, world, proxy.name)(proxy.files)));

  if (
    (inValues || proxies.length > 0) &&
    config.ingress?.probe !== undefined &&
    world.probes[nodeProbe(staying)] !== 'ok'
  ) {
    actions.push({
      id: `probe.node ${staying}`,
      reason: `${way.names.staying} must serve before anyone is sent to it (${world.probes[nodeProbe(staying)] ?? 'not asked yet'})`,
      done: (o) => o.probes[nodeProbe(staying)] === 'ok',
      settleMs: config.kubernetes.readySeconds * 1000,
      predict: (o) => ({ ...o, probes: { ...o.probes, [nodeProbe(staying)]: 'ok' } }),
    });
  }
  if (inValues) {
    const edit = (text: string) => addIngressAddress(text, config.ingress?.path ?? '', leaving, staying);
    actions.push(
      valuesAction(
        `ingress.in ${staying}`,
        `the ingress values do not name ${staying} of ${way.names.staying}`,
        edit,
        `Add ${staying} (${way.names.staying}) to the ingress addresses`,
        (addresses) => addresses.includes(staying),
        way,
        acts,
      ),
    );
  }
  if (inValues || (world.ingress?.notSynced !== undefined && wantsIngress(way, world)))
    actions.push(syncAction(way, acts, world.ingress));
  for (const proxy of proxies) {
    actions.push(
      proxyAction(
        `proxy.in ${proxy.name} ${staying}`,
        `${placesOf(proxy.files, leaving).length || 'the removed'} places of ${leaving} are open to ${staying}`,
        proxy.name,
        bringIn(way, world, proxy.name),
        way,
        acts,
      ),
    );
  }
  return [...actions, ...probeProxies(way, world, actions.length > 0)];
}

function planOut<W extends IngressWorld>(way: Way, acts: IngressActs, world: W): Plan<W> {
  const { leaving, staying, settleMs } = way;
  const actions: Action<W>[] = [];
  const unready = world.proxies.find(
    (proxy) =>
      !isOff(way.config, world, way.names.leaving) &&
      isChange({ ...addBeside(proxy.files, leaving, staying), ...markUp(proxy.files, staying) }),
  );
  if (unready !== undefined) {
    return refuse(
      'NC1212',
      `${unready.name} would lose places of ${leaving} that ${staying} does not have yet.`,
      placesOf(unready.files, leaving).map((place) => `${place.file}:${place.line} ${place.upstream}`),
    );
  }
  for (const proxy of world.proxies) {
    if (placesOf(proxy.files, leaving).length === 0) continue;
    const objection = alone(proxy, leaving);
    if (objection !== undefined) return objection;
    const down: NginxEdit = (files) => markDown(files, leaving);
    if (isChange(down(proxy.files))) {
      actions.push(
        proxyAction(
          `proxy.down ${proxy.name} ${leaving}`,
          `no new connection may go to ${leaving}`,
          proxy.name,
          down,
          way,
          acts,
        ),
      );
    }
    const out: NginxEdit = (files) => removeAddress(files, leaving).files;
    actions.push({
      ...proxyAction<W>(
        `proxy.out ${proxy.name} ${leaving}`,
        `${leaving} leaves once its ${proxy.connections[leaving] ?? 0} connections have ended`,
        proxy.name,
        out,
        way,
        acts,
      ),
      apply: async (signal) => {
        await acts.drainProxy(proxy.name, leaving, signal);
        const lines = removedLines(proxy, leaving);
        await acts.writeFacts({ upstreams: { [factKey(proxy.name, leaving)]: lines } }, signal);
        await acts.changeProxy(proxy.name, out, signal);
      },
      predict: (o) => {
        const next = withProxy(o, proxy.name, out);
        return {
          ...next,
          facts: {
            ...next.facts,
            upstreams: {
              ...next.facts.upstreams,
              [factKey(proxy.name, leaving)]: removedLines(proxy, leaving),
            },
          },
        };
      },
    });
  }
  const inValues = world.ingress?.addresses.includes(leaving) === true;
  if (inValues && world.ingress !== undefined) {
    const { addresses } = world.ingress;
    if (addresses.length === 1)
      return refuse('NC1212', `The ingress values would be empty without ${leaving}.`, [
        addresses.join(', '),
      ]);
    if (!isOff(way.config, world, way.names.leaving) && !addresses.includes(staying))
      return refuse(
        'NC1212',
        `The ingress values do not name ${staying}, which takes the place of ${leaving}.`,
        [addresses.join(', ')],
      );
    const edit = (text: string) => removeIngressAddress(text, way.config.ingress?.path ?? '', leaving);
    if (world.facts.ingressPlaces?.includes(leaving) !== true) {
      const places = [...(world.facts.ingressPlaces ?? []), leaving];
      actions.push({
        id: `fact.ingress ${leaving}`,
        reason: 'written before the address goes: the place that a successor, or the way back, takes',
        apply: (signal) => acts.writeFacts({ ingressPlaces: places }, signal),
        done: (o) => o.facts.ingressPlaces?.includes(leaving) === true,
        settleMs,
        predict: (o) => ({ ...o, facts: { ...o.facts, ingressPlaces: places } }),
      });
    }
    actions.push(
      valuesAction(
        `ingress.out ${leaving}`,
        `the ingress values still name ${leaving} of ${way.names.leaving}`,
        edit,
        `Take ${leaving} (${way.names.leaving}) out of the ingress addresses`,
        (addresses) => !addresses.includes(leaving),
        way,
        acts,
      ),
    );
  }
  if (inValues || world.ingress?.notSynced !== undefined) actions.push(syncAction(way, acts, world.ingress));
  return [...actions, ...probeProxies(way, world, actions.length > 0)];
}

/** The successor takes the places that the leaving address holds, or held as the Lease says. */
function bringIn(way: Way, world: IngressWorld, proxy: string): NginxEdit {
  return (files) => {
    let now = { ...files };
    const merge = (changed: Record<string, string>) => (now = { ...now, ...changed });
    for (const line of linesOf(world.facts, proxy, way.staying)) merge(restore(now, line));
    for (const line of linesOf(world.facts, proxy, way.leaving)) {
      if (placesOf(now, way.leaving).length > 0) break;
      merge(restore(now, renamed(line, way.leaving, way.staying)));
    }
    merge(addBeside(now, way.leaving, way.staying));
    merge(markUp(now, way.staying));
    return Object.fromEntries(Object.entries(now).filter(([path, text]) => files[path] !== text));
  };
}

/** A line of a dead node, for its successor: the same statement with the other address, and never `down`. */
function renamed(line: RemovedLine, from: string, to: string): RemovedLine {
  const swap = (text: string) => text.replace(from, to).replace(/ down(?=[ ;])/, '');
  return {
    ...line,
    address: to,
    statement: swap(line.statement),
    ...(line.wholeLine === undefined ? {} : { wholeLine: swap(line.wholeLine) }),
  };
}

function linesOf(facts: Facts, proxy: string, address: string): readonly RemovedLine[] {
  return facts.upstreams[factKey(proxy, address)] ?? [];
}

/** As they were before the cycle: `down` was ours. */
function removedLines(proxy: ProxySeen, address: string): readonly RemovedLine[] {
  return removeAddress({ ...proxy.files, ...markUp(proxy.files, address) }, address).removed;
}

function factKey(proxy: string, address: string): string {
  return `${proxy} ${address}`;
}

function alone(proxy: ProxySeen, address: string): Refusal | undefined {
  try {
    removeAddress(proxy.files, address);
    return undefined;
  } catch (error) {
    return refuse('NC1212', `An upstream of ${proxy.name} would have no server left without ${address}.`, [
      error instanceof Error ? error.message : String(error),
    ]);
  }
}

function wantsIngress(way: Way, world: IngressWorld): boolean {
  if (world.ingress === undefined) return false;
  const places = world.facts.ingressPlaces ?? [];
  return (
    world.ingress.addresses.includes(way.leaving) ||
    places.includes(way.leaving) ||
    places.includes(way.staying)
  );
}

function isChange(changed: Record<string, string>): boolean {
  return Object.keys(changed).length > 0;
}

function withProxy<W extends IngressWorld>(world: W, name: string, edit: NginxEdit): W {
  return {
    ...world,
    proxies: world.proxies.map((proxy) =>
      proxy.name === name
        ? { ...proxy, files: { ...proxy.files, ...edit(proxy.files) }, connections: {} }
        : proxy,
    ),
  };
}

function proxyAction<W extends IngressWorld>(
  id: string,
  reason: string,
  name: string,
  edit: NginxEdit,
  way: Way,
  acts: IngressActs,
): Action<W> {
  return {
    id,
    reason,
    apply: (signal) => acts.changeProxy(name, edit, signal),
    done: (o) => {
      const proxy = o.proxies.find((candidate) => candidate.name === name);
      return proxy !== undefined && !isChange(edit(proxy.files));
    },
    settleMs: way.settleMs,
    predict: (o) => withProxy(o, name, edit),
  };
}

function valuesAction<W extends IngressWorld>(
  id: string,
  reason: string,
  edit: (text: string) => string,
  message: string,
  holds: (addresses: readonly string[]) => boolean,
  way: Way,
  acts: IngressActs,
): Action<W> {
  return {
    id,
    reason,
    apply: (signal) => acts.editValues(edit, message, signal),
    done: (o) => o.ingress !== undefined && holds(o.ingress.addresses),
    settleMs: way.settleMs,
    predict: (o) => ({
      ...o,
      ingress: o.ingress && predictedIngress(o.ingress, edit, id.startsWith('ingress.in'), way),
    }),
  };
}

function predictedIngress(
  seen: IngressSeen,
  edit: (text: string) => string,
  adds: boolean,
  way: Way,
): IngressSeen {
  const addresses = adds
    ? [...seen.addresses, way.staying]
    : seen.addresses.filter((address) => address !== way.leaving);
  return { commit: 'predicted', text: edit(seen.text), addresses, notSynced: 'not synced yet' };
}

function syncAction<W extends IngressWorld>(
  way: Way,
  acts: IngressActs,
  seen: IngressSeen | undefined,
): Action<W> {
  return {
    id: 'ingress.sync',
    reason: seen?.notSynced ?? 'the cluster must run the new values before the next change',
    apply: (signal) => acts.requestSync(signal),
    done: (o) => o.ingress?.notSynced === undefined,
    settleMs: (way.config.ingress?.syncSeconds ?? 600) * 1000,
    predict: (o) => ({ ...o, ingress: o.ingress && { ...o.ingress, notSynced: undefined } }),
  };
}

export function nodeProbe(address: string): string {
  return `node ${address}`;
}

export function proxyProbe(name: string): string {
  return `proxy ${name}`;
}

/** The proof: what users would open, through the very proxies. */
function probeProxies<W extends IngressWorld>(way: Way, world: W, changed: boolean): Action<W>[] {
  return way.config.proxies
    .filter((proxy) => proxy.probe !== undefined)
    .filter((proxy) => changed || world.probes[proxyProbe(proxy.name)] !== 'ok')
    .map((proxy) => ({
      id: `probe.proxy ${proxy.name}`,
      reason: `${proxy.probe?.url ?? ''} through ${proxy.name} (${world.probes[proxyProbe(proxy.name)] ?? 'not asked yet'})`,
      done: (o) => o.probes[proxyProbe(proxy.name)] === 'ok',
      settleMs: way.settleMs,
      predict: (o) => ({ ...o, probes: { ...o.probes, [proxyProbe(proxy.name)]: 'ok' } }),
    }));
}
