/** From a URL's path to what it names. */
import type { ResourceType } from './resources.ts';
import { RESOURCES } from './resources.ts';

export interface Route {
  type: ResourceType;
  namespace?: string | undefined;
  name?: string | undefined;
  subresource?: string | undefined;
}

/** Undefined when the API serves no such path. */
export function routeOf(path: string): Route | undefined {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  let group = '';
  let version: string | undefined;
  if (parts[0] === 'api') version = parts[1];
  else if (parts[0] === 'apis') [, group = '', version] = parts;
  else return undefined;
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3);
  let namespace: string | undefined;
  // /namespaces/x is the namespace itself, and so are its subresources.
  const ofNamespace = rest.length > 2 && rest[2] !== 'status' && rest[2] !== 'finalize';
  if (rest[0] === 'namespaces' && ofNamespace) namespace = rest.splice(0, 2)[1];
  const [resource, name, subresource, more] = rest;
  const type = RESOURCES.find(
    (entry) => entry.resource === resource && entry.group === group && entry.version === version,
  );
  if (type === undefined || more !== undefined) return undefined;
  if (namespace !== undefined && !type.namespaced) return undefined;
  if (type.namespaced && namespace === undefined && name !== undefined) return undefined;
  return { type, namespace, name, subresource };
}
