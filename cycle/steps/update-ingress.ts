/** UpdateIngress: the places of addresses in the external nginx and in the cluster's ingress values. */
import type { Config } from '../config/schema.ts';
import { addBeside, markDown, markUp, placesOf, removeAddress } from '../edge/nginx/upstreams.ts';
import { addIngressAddress, removeIngressAddress } from '../edge/gitops/values.ts';
import type { Facts } from '../facts.ts';
import { addressOf, isOff, type IngressSeen, type Slice } from '../observed.ts';
import {
  alone,
  bringIn,
  factKey,
  isChange,
  mustReload,
  removedLines,
  withProxy,
  type NginxEdit,
} from '../plan/proxy-places.ts';
import { nodeProbe, proxyProbe } from '../plan/probes.ts';
import { probesOf } from '../probe.ts';
import { refuse, type Action, type Plan } from '../step.ts';

export type IngressWorld = Slice<
  'nowMs' | 'facts' | 'lock' | 'vms' | 'intent' | 'proxies' | 'ingress' | 'probes'
>;

export interface IngressInput {
  leaving: string;
  staying: string;
  side: 'in' | 'out';
}

export interface ProxyChange {
  /** Changes nothing when the files are right and only their reload is missing. */
  edit: NginxEdit;
  /** The address whose server must answer through the proxy after the reload. */
  serves?: string | undefined;
}

export interface IngressActs {
  /** Reads, edits, tests, reloads and proves; restores when any of it fails. */
  changeProxy(name: string, change: ProxyChange, signal: AbortSignal): Promise<void>;
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
  const proxies = world.proxies.filter((proxy) =>
    isChange(bringIn(world.facts, proxy.name, way)(proxy.files)),
  );

  const unproven =
    (inValues || proxies.length > 0) &&
    config.ingress?.probe !== undefined &&
    world.probes[nodeProbe(staying)] !== 'ok';
  const first = !answersAfterEdit(config.ingress?.path ?? '');
  if (unproven && first) actions.push(nodeServes(way, world));
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
  if (unproven && !first) actions.push(nodeServes(way, world));
  for (const proxy of world.proxies) {
    if (proxies.includes(proxy)) {
      const places = placesOf(proxy.files, leaving).length || 'the removed';
      const edit = bringIn(world.facts, proxy.name, way);
      actions.push(
        proxyAction(
          `proxy.in ${proxy.name} ${staying}`,
          `${places} places of ${leaving} are open to ${staying}`,
          proxy.name,
          { edit, serves: staying },
          way,
          acts,
        ),
      );
    } else if (mustReload(world.facts, proxy, way)) {
      actions.push(reloadAction(proxy.name, staying, way, acts));
    }
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
  // The first way out of a dead node has nobody yet who would have to serve in its place.
  const serves = isOff(way.config, world, way.names.leaving) ? undefined : staying;
  for (const proxy of world.proxies) {
    const held = placesOf(proxy.files, leaving).length > 0;
    const objection = held ? alone(proxy, leaving) : undefined;
    if (objection !== undefined) return objection;
    const down: NginxEdit = (files) => markDown(files, leaving);
    if (held && isChange(down(proxy.files))) {
      actions.push(
        proxyAction(
          `proxy.down ${proxy.name} ${leaving}`,
          `no new connection may go to ${leaving}`,
          proxy.name,
          { edit: down, serves },
          way,
          acts,
        ),
      );
    } else if (mustReload(world.facts, proxy, way)) {
      // Workers that have not read `down` go on sending: to wait for their connections would be in vain.
      actions.push(reloadAction(proxy.name, serves, way, acts));
    }
    if (!held) continue;
    const out: NginxEdit = (files) => removeAddress(files, leaving).files;
    actions.push({
      ...proxyAction<W>(
        `proxy.out ${proxy.name} ${leaving}`,
        `${leaving} leaves once its ${proxy.connections[leaving] ?? 0} connections have ended`,
        proxy.name,
        { edit: out },
        way,
        acts,
      ),
      apply: async (signal) => {
        await acts.drainProxy(proxy.name, leaving, signal);
        const lines = removedLines(proxy, leaving);
        await acts.writeFacts({ upstreams: { [factKey(proxy.name, leaving)]: lines } }, signal);
        await acts.changeProxy(proxy.name, { edit: out }, signal);
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

function wantsIngress(way: Way, world: IngressWorld): boolean {
  if (world.ingress === undefined) return false;
  const places = world.facts.ingressPlaces ?? [];
  return (
    world.ingress.addresses.includes(way.leaving) ||
    places.includes(way.leaving) ||
    places.includes(way.staying)
  );
}

function proxyAction<W extends IngressWorld>(
  id: string,
  reason: string,
  name: string,
  change: ProxyChange,
  way: Way,
  acts: IngressActs,
): Action<W> {
  return {
    id,
    reason,
    apply: (signal) => acts.changeProxy(name, change, signal),
    done: (o) => {
      const proxy = o.proxies.find((candidate) => candidate.name === name);
      return proxy?.loaded === 'yes' && !isChange(change.edit(proxy.files));
    },
    settleMs: way.settleMs,
    predict: (o) => withProxy(o, name, change.edit),
  };
}

function reloadAction<W extends IngressWorld>(
  name: string,
  serves: string | undefined,
  way: Way,
  acts: IngressActs,
): Action<W> {
  return proxyAction(
    `proxy.reload ${name}`,
    'its files are right, and its workers are not known to have read them',
    name,
    { edit: () => ({}), serves },
    way,
    acts,
  );
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

/**
 * An external IP or a load balancer's address answers on a node only when kube-proxy there knows it, which is after the
 * edit: to wait for it before would be for ever. Where the values only publish addresses (`publish-status-address`),
 * the node serves by itself, and is not published before it does.
 */
function answersAfterEdit(path: string): boolean {
  return /(^|[.])(externalIPs|loadBalancerIP)\b[^.]*$/.test(path);
}

function nodeServes<W extends IngressWorld>({ config, staying, names }: Way, world: W): Action<W> {
  const key = nodeProbe(staying);
  return {
    id: `probe.node ${staying}`,
    reason: `${names.staying} must serve before anyone is sent to it (${world.probes[key] ?? 'not asked yet'})`,
    done: (o) => o.probes[key] === 'ok',
    settleMs: config.kubernetes.readySeconds * 1000,
    predict: (o) => ({ ...o, probes: { ...o.probes, [key]: 'ok' } }),
  };
}

/** The proof: what users would open, through the very proxies. */
function probeProxies<W extends IngressWorld>(way: Way, world: W, changed: boolean): Action<W>[] {
  return way.config.proxies.flatMap((proxy) =>
    probesOf(proxy)
      .map(({ url }) => ({ url, key: proxyProbe(proxy.name, url) }))
      .filter(({ key }) => changed || world.probes[key] !== 'ok')
      .map(({ url, key }) => ({
        id: `probe.proxy ${proxy.name} ${url}`,
        reason: `${url} through ${proxy.name} (${world.probes[key] ?? 'not asked yet'})`,
        done: (o: W) => o.probes[key] === 'ok',
        settleMs: way.settleMs,
        predict: (o: W) => ({ ...o, probes: { ...o.probes, [key]: 'ok' } }),
      })),
  );
}
