/** The three patch types that the API takes: JSON Patch (RFC 6902), merge patch (RFC 7386), strategic merge patch. */
import { failures } from './status.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = Record<string, Json>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function applyPatch(contentType: string, target: unknown, patch: unknown, custom: boolean): unknown {
  const copy = structuredClone(target) as Json;
  if (contentType.startsWith('application/json-patch+json')) return jsonPatch(copy, patch);
  if (contentType.startsWith('application/merge-patch+json')) return mergePatch(copy, patch as Json);
  if (contentType.startsWith('application/strategic-merge-patch+json') && !custom) {
    return strategicPatch(copy, patch as Json, '');
  }
  throw failures.unsupportedMedia(contentType);
}

function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Lists that merge by a key; every other list is replaced whole. Taints and tolerations are among those. */
const MERGE_KEYS: Record<string, string> = {
  conditions: 'type',
  addresses: 'type',
  containers: 'name',
  initContainers: 'name',
  containerStatuses: 'name',
  env: 'name',
  volumes: 'name',
  volumeMounts: 'mountPath',
  ports: 'containerPort',
  ownerReferences: 'uid',
  imagePullSecrets: 'name',
  hostAliases: 'ip',
};
const MERGED_SETS = new Set(['finalizers']);

function strategicPatch(target: Json | undefined, patch: Json, field: string): Json {
  if (Array.isArray(patch)) return strategicList(Array.isArray(target) ? target : [], patch, field);
  if (!isObject(patch)) return patch;
  if (patch['$patch'] === 'replace') {
    const { $patch: _directive, ...rest } = patch;
    return rest;
  }
  if (patch['$patch'] === 'delete') return {};
  const result: JsonObject = isObject(target) ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$deleteFromPrimitiveList/')) {
      const list = key.slice(key.indexOf('/') + 1);
      const gone = value as Json[];
      const have = result[list];
      if (Array.isArray(have)) result[list] = have.filter((item) => !gone.includes(item));
    } else if (key.startsWith('$')) {
      continue;
    } else if (value === null) delete result[key];
    else result[key] = strategicPatch(result[key], value, key);
  }
  return result;
}

function strategicList(target: Json[], patch: Json[], field: string): Json[] {
  if (MERGED_SETS.has(field)) return [...target, ...patch.filter((item) => !target.includes(item))];
  const mergeKey = MERGE_KEYS[field];
  if (mergeKey === undefined || patch.some((item) => !isObject(item))) return patch;
  let result = [...target];
  if (patch.some((item) => isObject(item) && item['$patch'] === 'replace')) {
    return patch.filter((item) => !(isObject(item) && '$patch' in item));
  }
  for (const item of patch as JsonObject[]) {
    const at = result.findIndex((other) => isObject(other) && other[mergeKey] === item[mergeKey]);
    if (item['$patch'] === 'delete') result = result.filter((_, index) => index !== at);
    else if (at === -1) result.push(strategicPatch({}, item, field));
    else result[at] = strategicPatch(result[at], item, field);
  }
  return result;
}

interface Operation {
  op: string;
  path: string;
  value?: Json;
  from?: string;
}

function jsonPatch(target: Json, patch: unknown): Json {
  if (!Array.isArray(patch)) throw failures.badRequest('error decoding patch: a JSON patch is a list');
  let document = target;
  for (const operation of patch as Operation[]) document = oneOperation(document, operation);
  return document;
}

const refuse = (message: string) => failures.invalid('', '', message);

function oneOperation(document: Json, { op, path, value, from }: Operation): Json {
  const steps = pointer(path);
  switch (op) {
    case 'test': {
      const found = lookUp(document, steps);
      if (JSON.stringify(found ?? null) !== JSON.stringify(value ?? null)) {
        throw refuse(
          `the server rejected our request due to an error in our request: testing value ${path} failed`,
        );
      }
      return document;
    }
    case 'add':
    case 'replace':
      if (op === 'replace' && lookUp(document, steps) === undefined)
        throw refuse(`replace operation does not apply: doc is missing key: ${path}`);
      return place(document, steps, value ?? null, op === 'add');
    case 'remove':
      return take(document, steps, path);
    case 'move': {
      const moved = lookUp(document, pointer(from ?? ''));
      if (moved === undefined)
        throw refuse(`move operation does not apply: doc is missing key: ${from ?? ''}`);
      return place(take(document, pointer(from ?? ''), from ?? ''), steps, moved, true);
    }
    case 'copy': {
      const copied = lookUp(document, pointer(from ?? ''));
      if (copied === undefined)
        throw refuse(`copy operation does not apply: doc is missing key: ${from ?? ''}`);
      return place(document, steps, structuredClone(copied), true);
    }
    default:
      throw refuse(`Unexpected kind: ${op}`);
  }
}

const pointer = (path: string): string[] =>
  path === ''
    ? []
    : path
        .slice(1)
        .split('/')
        .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));

function lookUp(document: Json, steps: string[]): Json | undefined {
  let value: Json | undefined = document;
  for (const step of steps) {
    if (Array.isArray(value)) value = value[Number(step)];
    else if (isObject(value)) value = value[step];
    else return undefined;
  }
  return value;
}

function place(document: Json, steps: string[], value: Json, insert: boolean): Json {
  const last = steps.at(-1);
  if (last === undefined) return value;
  const parent = lookUp(document, steps.slice(0, -1));
  if (Array.isArray(parent)) {
    const at = last === '-' ? parent.length : Number(last);
    parent.splice(at, insert ? 0 : 1, value);
  } else if (isObject(parent)) parent[last] = value;
  else throw refuse(`add operation does not apply: doc is missing path: /${steps.join('/')}: missing value`);
  return document;
}

function take(document: Json, steps: string[], path: string): Json {
  const last = steps.at(-1);
  const parent = lookUp(document, steps.slice(0, -1));
  if (last !== undefined && Array.isArray(parent) && Number(last) < parent.length)
    parent.splice(Number(last), 1);
  else if (last !== undefined && isObject(parent) && last in parent) delete parent[last];
  else throw refuse(`remove operation does not apply: doc is missing key: ${path}: missing value`);
  return document;
}
