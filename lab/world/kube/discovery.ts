/** What the API says about itself: versions, groups, resources, health. */
import { groupVersion, RESOURCES } from './resources.ts';
import type { ResourceType } from './resources.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

const groups = (): string[] => [...new Set(RESOURCES.filter(({ group }) => group !== '').map(groupVersion))];

export function versionInfo(gitVersion: string): unknown {
  const [, major = '1', minor = '20'] = /^v(\d+)\.(\d+)/.exec(gitVersion) ?? [];
  return {
    major,
    minor,
    gitVersion,
    gitCommit: '8f1e5bf0b9729a899b8df86249b56e2c74aebc55',
    gitTreeState: 'clean',
    buildDate: '2022-01-19T17:23:01Z',
    goVersion: 'go1.15.15',
    compiler: 'gc',
    platform: 'linux/amd64',
  };
}

export const apiVersions = (): unknown => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [],
});

export function groupList(): unknown {
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: groups().map((text) => groupInfo(text)),
  };
}

function groupInfo(text: string): Record<string, unknown> {
  const [name = '', version = ''] = text.split('/');
  const entry = { groupVersion: text, version };
  return { name, versions: [entry], preferredVersion: entry };
}

/** `/apis/<group>`; undefined when it is not served. */
export function groupOf(name: string): unknown {
  const found = groups().find((text) => text.startsWith(`${name}/`));
  return found === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...groupInfo(found) };
}

/** `/api/v1` and `/apis/<group>/<version>`; undefined when it is not served. */
export function resourceList(served: string): unknown {
  const found = RESOURCES.filter((entry) => groupVersion(entry) === served);
  if (found.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: served,
    resources: found.flatMap(rowsOf),
  };
}

function rowsOf(entry: ResourceType): unknown[] {
  const { resource, kind, namespaced, shortNames, singular } = entry;
  const rows: unknown[] = [
    {
      name: resource,
      singularName: singular,
      namespaced,
      kind,
      verbs: VERBS,
      ...(shortNames === undefined ? {} : { shortNames }),
    },
  ];
  const part = (name: string, verbs: string[], rest: Record<string, unknown> = {}) =>
    rows.push({ name: `${resource}/${name}`, singularName: '', namespaced, kind, verbs, ...rest });
  if (entry.status) part('status', ['get', 'patch', 'update']);
  if (entry.scale === true) {
    part('scale', ['get', 'patch', 'update'], { group: 'autoscaling', version: 'v1', kind: 'Scale' });
  }
  if (resource === 'pods') {
    part('eviction', ['create'], { group: 'policy', version: 'v1beta1', kind: 'Eviction' });
  }
  return rows;
}

/** `/healthz`, `/livez`, `/readyz`, each with `?verbose` and with one check by its path. */
export function health(
  path: string,
  verbose: boolean,
  etcdOk: boolean,
): { status: number; text: string } | undefined {
  const [, endpoint = '', check] = path.split('/');
  if (!['healthz', 'livez', 'readyz'].includes(endpoint)) return undefined;
  const checks: [string, boolean][] = [
    ['ping', true],
    ['log', true],
    ['etcd', etcdOk],
    ...(endpoint === 'readyz' ? ([['informer-sync', true]] as [string, boolean][]) : []),
    ['poststarthook/start-kube-apiserver-admission-initializer', true],
  ];
  if (check !== undefined && check !== '') {
    const found = checks.find(([name]) => name === check);
    if (found === undefined) return { status: 404, text: '404 page not found' };
    return found[1] ? { status: 200, text: 'ok' } : { status: 500, text: 'internal server error: failed\n' };
  }
  const passed = checks.every(([, ok]) => ok);
  if (passed && !verbose) return { status: 200, text: 'ok' };
  const lines = checks.map(([name, ok]) => (ok ? `[+]${name} ok` : `[-]${name} failed: reason withheld`));
  lines.push(passed ? `${endpoint} check passed` : `${endpoint} check failed`);
  return { status: passed ? 200 : 500, text: `${lines.join('\n')}\n` };
}
