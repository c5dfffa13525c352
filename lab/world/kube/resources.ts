/** Which resources the API serves, as Kubernetes 1.20 names them. No policy/v1 and no discovery.k8s.io/v1: 1.21 brought those. */
import type { Resource } from './objects.ts';

export interface ResourceType {
  resource: Resource;
  group: string;
  version: string;
  kind: string;
  singular: string;
  namespaced: boolean;
  shortNames?: string[];
  /** Has a `status` subresource, so that writes to the object itself leave `status` alone. */
  status: boolean;
  /** A PUT without resourceVersion is refused (leases and custom resources). */
  conditionalOnly?: boolean;
  scale?: boolean;
}

const type = (
  resource: Resource,
  group: string,
  version: string,
  kind: string,
  namespaced: boolean,
  rest: Partial<ResourceType> = {},
): ResourceType => ({
  resource,
  group,
  version,
  kind,
  namespaced,
  singular: kind.toLowerCase(),
  status: true,
  ...rest,
});

export const RESOURCES: readonly ResourceType[] = [
  type('nodes', '', 'v1', 'Node', false, { shortNames: ['no'] }),
  type('pods', '', 'v1', 'Pod', true, { shortNames: ['po'] }),
  type('namespaces', '', 'v1', 'Namespace', false, { shortNames: ['ns'] }),
  type('services', '', 'v1', 'Service', true, { shortNames: ['svc'] }),
  type('endpoints', '', 'v1', 'Endpoints', true, { shortNames: ['ep'], status: false }),
  type('events', '', 'v1', 'Event', true, { shortNames: ['ev'], status: false }),
  type('configmaps', '', 'v1', 'ConfigMap', true, { shortNames: ['cm'], status: false }),
  type('secrets', '', 'v1', 'Secret', true, { status: false }),
  type('serviceaccounts', '', 'v1', 'ServiceAccount', true, { shortNames: ['sa'], status: false }),
  type('persistentvolumes', '', 'v1', 'PersistentVolume', false, { shortNames: ['pv'] }),
  type('persistentvolumeclaims', '', 'v1', 'PersistentVolumeClaim', true, { shortNames: ['pvc'] }),
  type('daemonsets', 'apps', 'v1', 'DaemonSet', true, { shortNames: ['ds'] }),
  type('deployments', 'apps', 'v1', 'Deployment', true, { shortNames: ['deploy'], scale: true }),
  type('replicasets', 'apps', 'v1', 'ReplicaSet', true, { shortNames: ['rs'], scale: true }),
  type('statefulsets', 'apps', 'v1', 'StatefulSet', true, { shortNames: ['sts'], scale: true }),
  type('jobs', 'batch', 'v1', 'Job', true),
  type('poddisruptionbudgets', 'policy', 'v1beta1', 'PodDisruptionBudget', true, { shortNames: ['pdb'] }),
  type('endpointslices', 'discovery.k8s.io', 'v1beta1', 'EndpointSlice', true, { status: false }),
  type('leases', 'coordination.k8s.io', 'v1', 'Lease', true, { status: false, conditionalOnly: true }),
  type('volumeattachments', 'storage.k8s.io', 'v1', 'VolumeAttachment', false),
  type('applications', 'argoproj.io', 'v1alpha1', 'Application', true, {
    shortNames: ['app', 'apps'],
    status: false,
    conditionalOnly: true,
  }),
];

const byName = new Map(RESOURCES.map((entry) => [entry.resource, entry]));

export function resourceType(resource: Resource): ResourceType {
  const found = byName.get(resource);
  if (found === undefined) throw new RangeError(`no such resource: ${resource}`);
  return found;
}

export const groupVersion = (entry: { group: string; version: string }): string =>
  entry.group === '' ? entry.version : `${entry.group}/${entry.version}`;
