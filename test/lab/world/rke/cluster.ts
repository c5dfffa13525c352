/** A cluster in the lab's world with a folder to run rke in. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeExample } from '../../../../lab/example.ts';
import type { ExampleInput, ExampleShape } from '../../../../lab/example.ts';
import { openEtcd } from '../../../../lab/servers/etcd.ts';
import { createWorld } from '../../../../lab/world/create.ts';
import type { LabWorld } from '../../../../lab/world/create.ts';
import { etcdMaterial } from '../../../../lab/world/etcd/machines.ts';
import { initialWorld } from '../../../../lab/world/nodes/initial.ts';
import { rke } from '../../../../lab/world/rke/rke.ts';
import type { RkeFile, RkeRequest, RkeSurroundings } from '../../../../lab/world/rke/rke.ts';
import { readState } from '../../../../lab/world/rke/state.ts';
import type { RkeState } from '../../../../lab/world/rke/state.ts';
import type { EtcdCluster, Machine } from '../../../../lab/world/world.ts';

export const SUCCESS = 'Finished building Kubernetes cluster successfully';

export interface Outcome {
  code: number | undefined;
  stdout: string[];
  stderr: string[];
  /** `level message` of each line. */
  messages: string[];
  /** What somebody who trusts rke concludes: exit 0 and the success line. */
  naive: boolean;
}

export interface TestCluster {
  example: ExampleInput;
  world: LabWorld;
  etcd: EtcdCluster;
  around: RkeSurroundings;
  /** The folder of rke's runs. */
  files: Map<string, RkeFile>;
  put(name: string, text: string, mode?: number): void;
  text(name: string): string;
  state(): RkeState;
  run(
    argv: string[],
    more?: Partial<RkeRequest> & { signal?: AbortSignal; onLine?: (line: string) => void },
  ): Promise<Outcome>;
  up(...flags: string[]): Promise<Outcome>;
  /** cluster.yml without the entry of this node. */
  without(n: number): string;
  machine(n: number): Machine;
  nodes(): string[];
  members(): Promise<string[]>;
  close(): Promise<void>;
}

let net = 0;
export const CWD = '/srv/cluster';

/** `established: false`: the machines are there, nothing runs on them. */
export async function testCluster(
  shape: ExampleShape,
  options: { established?: boolean; pace?: number } = {},
): Promise<TestCluster> {
  net += 1;
  const dir = mkdtempSync(join(tmpdir(), 'node-cycle-rke-'));
  const example = makeExample({
    dir,
    base: `127.82.${String((process.pid + net * 7) % 250)}`,
    seed: 1,
    nowMs: Date.now(),
    shape,
  });
  const world = createWorld({ cluster: example.cluster, seed: 1, hosts: example.hosts });
  const etcd = openEtcd({
    clock: world.clock,
    random: world.random,
    ports: { client: example.ports.etcdClient, peer: example.ports.etcdPeer },
    material: (address) => etcdMaterial(world, address),
    dir,
    kind: 'stand-in',
    healthIntervalMs: 0,
  });
  const files = new Map<string, RkeFile>();
  const put = (name: string, text: string, mode = 0o644) =>
    void files.set(`${CWD}/${name}`, { kind: 'file', text, mode });
  const pace = options.pace ?? 0.02;
  let around: RkeSurroundings = {
    world,
    etcd,
    ports: { ssh: example.ports.ssh, api: example.ports.api },
    pace,
  };
  put('cluster.yml', example.clusterYml);
  if (options.established === false) {
    for (const node of example.nodes)
      world.hosts.addVm({ ...node, startAction: 'start', authorizedKeys: [example.nodeKey.public] });
  } else {
    const initial = await initialWorld(example, world, etcd, { pace });
    around = initial.rke;
    put('cluster.rkestate', initial.state, 0o600);
    put('kube_config_cluster.yml', initial.kubeconfig, 0o600);
  }
  const text = (name: string) => {
    const file = files.get(`${CWD}/${name}`);
    return file?.kind === 'file' ? file.text : '';
  };
  const cluster: TestCluster = {
    example,
    world,
    etcd,
    around,
    files,
    put,
    text,
    state: () => readState(text('cluster.rkestate')) ?? { desiredState: {}, currentState: {} },
    async run(argv, more = {}) {
      const { signal, onLine, ...request } = more;
      const outcome: Outcome = { code: undefined, stdout: [], stderr: [], messages: [], naive: false };
      const asked: RkeRequest = {
        argv,
        cwd: CWD,
        home: '/home/op',
        tty: false,
        files: Object.fromEntries(files),
        agentKeys: [example.nodeKey.public],
        ...request,
      };
      for await (const event of rke(asked, around, signal)) {
        if (event.kind === 'line') {
          outcome[event.stream].push(event.line);
          outcome.messages.push(message(event.line));
          onLine?.(event.line);
        } else if (event.kind === 'write') {
          const before = files.get(event.path);
          files.set(event.path, {
            kind: 'file',
            text: event.text,
            mode: before?.kind === 'file' ? before.mode : event.mode,
          });
        } else if (event.kind === 'move') {
          const before = files.get(event.from);
          if (before !== undefined) files.set(event.to, before);
          files.delete(event.from);
        } else if (event.kind === 'remove') files.delete(event.path);
        else if (event.kind === 'text') outcome.stdout.push(event.text);
        else outcome.code = event.code;
      }
      outcome.naive = outcome.code === 0 && outcome.messages.some((line) => line.endsWith(SUCCESS));
      return outcome;
    },
    up: (...flags) => cluster.run(['up', '--ssh-agent-auth', ...flags]),
    without: (n) => withoutNode(example.clusterYml, example.nodes[n]?.address ?? ''),
    machine(n) {
      const machine = world.machineNamed(example.nodes[n]?.name ?? '');
      if (machine === undefined) throw new Error(`no machine ${String(n)}`);
      return machine;
    },
    nodes: () => world.kube.store.list('nodes').map(({ metadata }) => metadata.name),
    members: async () => (await etcd.members()).map(({ address }) => address).sort(),
    async close() {
      world.close();
      await etcd.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return cluster;
}

export function withoutNode(yml: string, address: string): string {
  return yml
    .split(/(?=^ {4}- address: )/m)
    .map((block) =>
      block.startsWith(`    - address: ${address}\n`) || block.startsWith(`    - address: ${address} `)
        ? block.replace(/^ {4}- address[\s\S]*?\n\n/, '')
        : block,
    )
    .join('');
}

function message(line: string): string {
  const found = /level=(\w+) msg=(?:"((?:[^"\\]|\\.)*)"|(.*))$/.exec(line);
  if (found === null) return line;
  return `${found[1] ?? ''} ${(found[2] ?? found[3] ?? '').replaceAll('\\"', '"')}`;
}
