/** `as=Table`: the rows that `kubectl get` prints. Columns of nodes and pods are Kubernetes' own; others show name and age. */
import type { KubeObject, NodeObject, PodObject } from './objects.ts';
import { isReady } from './objects.ts';

type Cell = string | number;

interface Column {
  name: string;
  type: string;
  format: string;
  priority: number;
  description: string;
}

const column = (name: string, priority = 0, type = 'string'): Column => ({
  name,
  type,
  format: name === 'Name' ? 'name' : '',
  priority,
  description: name,
});

export function asTable(objects: KubeObject[], kind: string, metadata: unknown, nowMs: number): unknown {
  const { columns, cells } = rowsFor(kind);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: columns,
    rows: objects.map((object) => ({
      cells: cells(object as never, nowMs),
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    })),
  };
}

function rowsFor(kind: string): { columns: Column[]; cells: (object: never, nowMs: number) => Cell[] } {
  if (kind === 'Node') {
    return {
      columns: [
        column('Name'),
        column('Status'),
        column('Roles'),
        column('Age'),
        column('Version'),
        column('Internal-IP', 1),
      ],
      cells: nodeCells,
    };
  }
  if (kind === 'Pod') {
    return {
      columns: [
        column('Name'),
        column('Ready'),
        column('Status'),
        column('Restarts', 0, 'integer'),
        column('Age'),
        column('IP', 1),
        column('Node', 1),
      ],
      cells: podCells,
    };
  }
  return {
    columns: [column('Name'), column('Age')],
    cells: (o: KubeObject, nowMs) => [o.metadata.name, age(o, nowMs)],
  };
}

function nodeCells(node: NodeObject, nowMs: number): Cell[] {
  const status = [isReady(node) ? 'Ready' : 'NotReady'];
  if (node.spec.unschedulable === true) status.push('SchedulingDisabled');
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(node.metadata.labels ?? {})
    .filter((label) => label.startsWith(prefix))
    .map((label) => label.slice(prefix.length))
    .sort();
  return [
    node.metadata.name,
    status.join(','),
    roles.join(',') || '<none>',
    age(node, nowMs),
    (node.status.nodeInfo?.['kubeletVersion'] as string | undefined) ?? '',
    node.status.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '<none>',
  ];
}

function podCells(pod: PodObject, nowMs: number): Cell[] {
  const all = pod.spec.containers.length;
  const status =
    pod.metadata.deletionTimestamp === undefined ? (pod.status.reason ?? pod.status.phase) : 'Terminating';
  return [
    pod.metadata.name,
    `${isReady(pod) ? all : 0}/${all}`,
    status,
    0,
    age(pod, nowMs),
    pod.status.podIP ?? '<none>',
    pod.spec.nodeName ?? '<none>',
  ];
}

function age(object: KubeObject, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(object.metadata.creationTimestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
