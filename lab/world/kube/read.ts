/** Lists, in pages, and watches. */
import type { Call, KubeResponse, Sink } from './handle.ts';
import type { KubeObject } from './objects.ts';
import { groupVersion } from './resources.ts';
import { parseFieldSelector, parseLabelSelector } from './select.ts';
import { failures } from './status.ts';
import type { StoreEvent } from './store.ts';
import { asTable } from './table.ts';

/** A page's place: the version of the first page and the last key that was given. */
interface Place {
  version: number;
  after: string;
}

const encode = (place: Place): string => Buffer.from(JSON.stringify(place)).toString('base64url');
const keyOf = (object: KubeObject): string => `${object.metadata.namespace ?? ''}/${object.metadata.name}`;

export function readCollection(call: Call): KubeResponse {
  const watching = ['1', 'true'].includes(call.query.get('watch') ?? '');
  return watching ? watch(call) : list(call);
}

function filterOf(call: Call): (object: KubeObject) => boolean {
  const labels = parseLabelSelector(call.query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(call.query.get('fieldSelector') ?? '', call.route.type.kind);
  return (object) => labels(object.metadata.labels ?? {}) && fields(object);
}

const wantsTable = (call: Call): boolean => call.headers['accept']?.includes('as=Table') === true;

function list(call: Call): KubeResponse {
  const { store, nowMs } = call.context;
  const { type, namespace } = call.route;
  const place = placeOf(call);
  const objects = store.list(type.resource, namespace).filter(filterOf(call));
  const rest = place === undefined ? objects : objects.filter((object) => keyOf(object) > place.after);
  const limit = Number(call.query.get('limit') ?? 0);
  const page = limit > 0 ? rest.slice(0, limit) : rest;
  const last = page.at(-1);
  const version = place?.version ?? store.version();
  const metadata = {
    resourceVersion: String(version),
    ...(page.length < rest.length && last !== undefined
      ? { continue: encode({ version, after: keyOf(last) }), remainingItemCount: rest.length - page.length }
      : {}),
  };
  const body = wantsTable(call)
    ? asTable(page, type.kind, metadata, nowMs())
    : { kind: `${type.kind}List`, apiVersion: groupVersion(type), metadata, items: page };
  return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

function placeOf(call: Call): Place | undefined {
  const token = call.query.get('continue');
  if (token === null || token === '') return undefined;
  let place: Place;
  try {
    place = JSON.parse(Buffer.from(token, 'base64url').toString()) as Place;
  } catch {
    throw failures.badRequest('continue key is not valid');
  }
  if (call.context.store.since(place.version) === 'expired') {
    throw failures.expired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
    );
  }
  return place;
}

function watch(call: Call): KubeResponse {
  const { store, nowMs, after } = call.context;
  const { type, namespace } = call.route;
  const wanted = filterOf(call);
  const from = call.query.get('resourceVersion') ?? '';
  const missed = from === '' || from === '0' ? undefined : store.since(Number(from));
  const timeoutSeconds = Number(call.query.get('timeoutSeconds') ?? 0);
  const table = wantsTable(call);

  const stream = (sink: Sink): (() => void) => {
    const send = (kind: string, object: unknown) => sink.write(`${JSON.stringify({ type: kind, object })}\n`);
    const one = (kind: string, object: KubeObject) =>
      send(
        kind,
        table
          ? asTable([object], type.kind, { resourceVersion: object.metadata.resourceVersion }, nowMs())
          : object,
      );
    if (missed === 'expired') {
      send('ERROR', failures.expired(`too old resource version: ${from} (${store.version()})`).status());
      sink.end();
      return () => undefined;
    }
    const see = (event: StoreEvent): void => {
      if (event.resource !== type.resource) return;
      if (namespace !== undefined && event.object.metadata.namespace !== namespace) return;
      // An object that leaves the selector is deleted for who watches with it.
      const now = event.type !== 'DELETED' && wanted(event.object);
      const before = event.before !== undefined && wanted(event.before);
      if (now) one(before ? 'MODIFIED' : 'ADDED', event.object);
      else if (before) one('DELETED', event.object);
    };
    if (missed === undefined) {
      for (const object of store.list(type.resource, namespace)) if (wanted(object)) one('ADDED', object);
    } else missed.forEach(see);
    const stop = store.on(see);
    const timer =
      timeoutSeconds > 0
        ? after(timeoutSeconds * 1000, () => {
            stop();
            sink.end();
          })
        : undefined;
    return () => {
      stop();
      timer?.cancel();
    };
  };
  return { status: 200, headers: { 'content-type': 'application/json' }, body: '', stream };
}
