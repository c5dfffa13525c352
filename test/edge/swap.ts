/** One node for another over all edges, in the order of the cycle, by the product's own functions. */
import { aliasNeeds, disagreeing } from '../../cycle/edge/dns/alias.ts';
import { addIngressAddress, removeIngressAddress } from '../../cycle/edge/gitops/values.ts';
import { newServerServes } from '../../cycle/edge/nginx/prove.ts';
import { connectionsTo } from '../../cycle/edge/nginx/proxy.ts';
import type { Prove } from '../../cycle/edge/nginx/proxy.ts';
import { addBeside, markDown, markUp, removeAddress, restore } from '../../cycle/edge/nginx/upstreams.ts';
import type { RemovedLine } from '../../cycle/edge/nginx/upstreams.ts';
import { openHttp } from '../../ports/http.ts';
import { ALIAS, VALUES, VALUES_PATH, WAIT } from './rig.ts';
import type { EdgeProxy, Edges } from './rig.ts';

const POLL_MS = 25;
const RACES = 5;

/** What the cluster's Lease keeps: by proxy and address, the lines that were taken out. */
export type Removed = Map<string, RemovedLine[]>;

export interface SwapOptions {
  /** How long streams to the node that leaves may go on. */
  drainMs: number;
  removed: Removed;
}

export async function swap(
  edges: Edges,
  leaving: string,
  staying: string,
  options: SwapOptions,
): Promise<void> {
  await editValues(edges, (text) => addIngressAddress(text, VALUES_PATH, leaving, staying), `Add ${staying}`);
  for (const proxy of edges.proxies) await bringIn(proxy, leaving, staying, options.removed);
  await moveAlias(edges, leaving, staying);
  for (const proxy of edges.proxies) await takeOut(proxy, leaving, options);
  await editValues(edges, (text) => removeIngressAddress(text, VALUES_PATH, leaving), `Remove ${leaving}`);
}

export async function change(
  proxy: EdgeProxy,
  edit: (files: Readonly<Record<string, string>>) => Record<string, string>,
  prove?: Prove,
): Promise<void> {
  const seen = await proxy.client.observe(WAIT);
  const changes = edit(seen.files);
  if (Object.keys(changes).length === 0 && seen.loaded === 'yes') return;
  const outcome = await proxy.client.apply(changes, seen, WAIT, prove);
  if (outcome !== 'reloaded') throw new Error(`${proxy.client.name}: ${JSON.stringify(outcome)}`);
}

export async function bringIn(
  proxy: EdgeProxy,
  leaving: string,
  staying: string,
  removed: Removed,
): Promise<void> {
  const lines = removed.get(`${proxy.client.name} ${staying}`) ?? [];
  const edit = (files: Readonly<Record<string, string>>) => {
    let now = { ...files };
    for (const line of lines) now = { ...now, ...restore(now, line) };
    now = { ...now, ...addBeside(now, leaving, staying) };
    return Object.fromEntries(Object.entries(now).filter(([path, text]) => files[path] !== text));
  };
  await change(
    proxy,
    edit,
    newServerServes({ proxy: proxy.client, address: staying, ask: () => ask(proxy) }),
  );
}

export async function takeOut(
  proxy: EdgeProxy,
  leaving: string,
  { drainMs, removed }: SwapOptions,
): Promise<void> {
  await change(proxy, (files) => markDown(files, leaving));
  const limit = Date.now() + drainMs;
  for (;;) {
    const connections = await proxy.client.connections(WAIT);
    if (connectionsTo({ connections }, leaving) === 0 || Date.now() >= limit) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  await change(proxy, (files) => {
    const before = { ...files, ...markUp(files, leaving) };
    removed.set(`${proxy.client.name} ${leaving}`, removeAddress(before, leaving).removed);
    return removeAddress(files, leaving).files;
  });
}

/** One request for the site through the proxy's own address, on a connection of its own. */
export async function ask(proxy: EdgeProxy): Promise<string> {
  const { http, close } = openHttp({});
  try {
    const url = `http://127.0.0.1:${proxy.ports.http}/`;
    const response = await http({ method: 'GET', url, headers: { connection: 'close' }, deadlineMs: 5_000 });
    let size = 0;
    for await (const part of response.body) size += part.length;
    return response.status === 200 && size > 0 ? 'ok' : `status ${response.status} with ${size} bytes`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    close();
  }
}

export async function moveAlias(
  { zone }: Pick<Edges, 'zone'>,
  leaving: string,
  staying: string,
): Promise<void> {
  const move = { ...ALIAS, member: staying, leaving, ttl: 1 };
  const limit = Date.now() + WAIT.deadlineMs;
  for (;;) {
    const views = await zone.read([ALIAS], WAIT);
    const [need] = aliasNeeds(views, move);
    if (need === undefined) return;
    if (need.kind === 'agree') {
      const lagging = disagreeing(views, ALIAS);
      if (Date.now() > limit) throw new Error(`DNS does not agree: ${lagging.join('; ')}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      continue;
    }
    const outcome = await zone.swap(need.swap, WAIT);
    if (outcome !== 'swapped' && outcome.refused !== 'stale') throw new Error(JSON.stringify(outcome));
  }
}

/** Pushed onto the tip that was read; fetched and edited anew when the race is lost. */
export async function editValues(
  { repo }: Pick<Edges, 'repo'>,
  edit: (text: string) => string,
  message: string,
): Promise<void> {
  for (let race = 0; race < RACES; race += 1) {
    const tip = await repo.tip(WAIT);
    const text = (await repo.read(tip, VALUES, WAIT)) ?? '';
    const next = edit(text);
    if (next === text) return;
    const commit = await repo.commit(tip, { [VALUES]: next }, `${message}\n\nNode-Cycle-Run: 1\n`, WAIT);
    const pushed = await repo.push(commit, tip, WAIT);
    if (pushed === 'pushed') return;
    if (pushed !== 'moved') throw new Error(pushed.refused);
  }
  throw new Error('every race was lost');
}
