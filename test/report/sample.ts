/**
 * Realistic data for the page, the same each time: one worker's or control-plane node's cycle with traffic.
 * `node --import tsx test/report/sample.ts DIR` writes one page for each outcome.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { summarise } from '../../cycle/record.ts';
import type { RunEvent, RunEventBody, RunOutcome, WorldSnapshot } from '../../cycle/record.ts';
import type { ReportData } from '../../report/data.ts';
import { renderReport } from '../../report/render.ts';

const STARTED_MS = Date.UTC(2026, 4, 4, 1, 30, 0);

type Taken = readonly [id: string, reason: string, durationMs: number, kind?: 'wait' | 'irreversible'];

const STEPS: readonly (readonly [stage: string, step: string, reason: string, actions: readonly Taken[]])[] =
  [
    [
      'plan',
      'PlanCycle',
      'home-n1 is due: 71 days old, the limit is 60.',
      [
        ['lock.take', 'nobody holds the lock of home', 120],
        ['lease.pair home-n1 home-n6', 'the pair is not written down yet', 90],
      ],
    ],
    [
      'provision',
      'ProvisionNode home-n6',
      '',
      [
        ['image.build ubuntu-24.04', 'the newest image is 9 days old, the limit is 7', 4_200],
        ['vm.create home-n6', 'no VM carries the marker home/home-n6', 2_300],
        ['ssh.answers 127.0.0.26', 'the new VM boots', 2_900, 'wait'],
        ['known_hosts.commit home-n6', 'the host key of home-n6 is not pinned', 480],
      ],
    ],
    [
      'provision',
      'RkeAddNode home-n6',
      '',
      [
        ['images.pull home-n6', '4 of 11 images are missing on home-n6', 1_500],
        ['cluster.yml add home-n6', 'cluster.yml does not name 127.0.0.26', 510],
        ['rke.up', 'currentState lacks home-n6', 5_200],
        ['node.ready home-n6', 'Ready 3 times in a row, 5 DaemonSet pods', 2_600, 'wait'],
        ['etcd.voter home-n6', 'home-n6 must be a healthy voter', 900, 'wait'],
      ],
    ],
    [
      'traffic',
      'UpdateIngress in',
      '',
      [
        ['gitops.commit +127.0.0.26', 'values.yaml does not name 127.0.0.26', 420],
        ['gitops.synced', 'Argo CD is at the revision before ours', 2_100, 'wait'],
        ['proxy.add home-lb http', 'upstream ingress_http lacks 127.0.0.26', 640],
        ['proxy.add home-lb stream', 'upstream ingress_stream lacks 127.0.0.26', 610],
      ],
    ],
    [
      'traffic',
      'SwapDns',
      '',
      [
        ['dns.add cp-home 127.0.0.26', 'cp-home lacks the new control plane', 330],
        ['dns.remove cp-home 127.0.0.21', 'home-n1 is about to leave', 310],
        ['dns.replace dash-home', 'dash-home points to home-n1', 320],
        ['dns.ttl', 'resolvers may keep the old answer for 3 s', 3_000, 'wait'],
      ],
    ],
    [
      'traffic',
      'UpdateIngress out',
      '',
      [
        ['proxy.down home-lb', 'both upstreams still send to 127.0.0.21', 620],
        ['proxy.drained', '4 connections to 127.0.0.21 are open', 3_400, 'wait'],
        ['proxy.remove home-lb', '127.0.0.21 is marked down and has no connection', 600],
        ['gitops.commit -127.0.0.21', 'values.yaml still names 127.0.0.21', 430],
        ['gitops.synced', 'Argo CD is at the revision before ours', 1_900, 'wait'],
      ],
    ],
    [
      'controlplane',
      'RkeRemoveRole controlplane home-n1',
      '',
      [
        [
          'cluster.yml role controlplane home-n1',
          'home-n1 still has the role controlplane',
          470,
          'irreversible',
        ],
        ['rke.up', 'currentState has home-n1 as a control plane', 3_900, 'irreversible'],
        ['endpoints.without home-n1', 'the endpoints of kubernetes name 127.0.0.21', 900, 'wait'],
      ],
    ],
    [
      'etcd',
      'RkeRemoveRole etcd home-n1',
      '',
      [
        ['etcd.snapshot', 'the newest snapshot is older than this run', 800],
        ['etcd.move-leader', 'home-n1 leads', 260],
        ['rke.up', 'home-n1 is still a member', 3_700, 'irreversible'],
      ],
    ],
    [
      'node',
      'RkeRemoveRole node home-n1',
      '',
      [
        ['node.cordon home-n1', 'home-n1 takes new pods', 160],
        ['node.drain home-n1', '7 pods run on home-n1', 3_100],
        ['endpoints.without home-n1', '2 EndpointSlices name pods on home-n1', 1_400, 'wait'],
        ['rke.up', 'cluster.yml does not name home-n1, currentState does', 3_500, 'irreversible'],
      ],
    ],
    [
      'delete',
      'DeleteVm home-n1',
      '',
      [['vm.delete home-n1', 'nothing refers to home-n1', 1_300, 'irreversible']],
    ],
    ['release', 'PlanCycle release', '', [['lock.release', 'the run ends', 90]]],
  ];

const node = (name: string, roles: string, ageDays: number, image: string) => ({
  name,
  roles: roles.split(' '),
  ageDays,
  image,
  ready: true,
});
const all = 'controlplane etcd worker';

function world(first: WorldSnapshot['nodes'][number], address: string): WorldSnapshot {
  const rest = [
    node('home-n2', all, 44.2, 'ubuntu-24.04 of 2026-03-20'),
    node('home-n3', all, 31.7, 'ubuntu-24.04 of 2026-04-01'),
  ];
  const workers = [
    node('home-n4', 'worker', 22.1, 'ubuntu-24.04 of 2026-04-10'),
    node('home-n5', 'worker', 12, 'ubuntu-24.04 of 2026-04-21'),
  ];
  const nodes = [...rest, ...workers, first].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    nodes,
    etcd: nodes
      .filter(({ roles }) => roles.includes('etcd'))
      .map(({ name }) => ({ name, healthy: true, leader: name === 'home-n2' })),
    dns: [
      { alias: 'cp-home.example', members: [address, '127.0.0.22', '127.0.0.23'] },
      { alias: 'dash-home.example', members: [`${first.name}.example`] },
    ],
    upstreams: ['ingress_http', 'ingress_stream'].map((upstream) => ({
      proxy: 'home-lb',
      upstream,
      servers: [`${address}:80`, '127.0.0.24:80', '127.0.0.25:80'],
    })),
    ingress: [address, '127.0.0.24', '127.0.0.25'],
  };
}

export interface SampleOptions {
  outcome?: ReportData['outcome'];
  /** Requests that fail in the second half. */
  failed?: number;
}

/** Ends in the middle when it is to fail or be refused. */
export function sampleEvents(outcome: ReportData['outcome'] = 'succeeded'): RunEvent[] {
  const events: RunEvent[] = [];
  let atMs = STARTED_MS + 400;
  const say = (body: RunEventBody): void => void events.push({ ...body, atMs });
  const last = outcome === 'succeeded' ? STEPS.length : outcome === 'nothingDue' ? 1 : 8;
  STEPS.slice(0, last).forEach(([stage, step, reason, taken], index) => {
    const ends: RunOutcome = index === last - 1 ? outcome : 'succeeded';
    say({ kind: 'step.started', step, task: step.split(' ')[0] ?? '', stage });
    if (index === 0) {
      say({
        kind: 'before',
        world: world(node('home-n1', all, 71.4, 'ubuntu-24.04 of 2026-02-21'), '127.0.0.21'),
      });
    }
    const acted = outcome === 'nothingDue' ? [] : ends === 'refused' ? taken.slice(0, 1) : taken;
    for (const [id, why, durationMs, kind] of acted) {
      atMs += 140;
      say({
        kind: 'action.started',
        id,
        reason: why,
        irreversible: kind === 'irreversible',
        wait: kind === 'wait',
      });
      atMs += durationMs;
      if (ends === 'failed' && id === 'rke.up')
        say({
          kind: 'action.failed',
          id,
          error: 'rke ended with exit code 1: host 127.0.0.23 is not reachable',
        });
      else say({ kind: 'action.done', id, durationMs });
    }
    if (index === 0 && outcome !== 'nothingDue')
      say({ kind: 'pair', oldNode: 'home-n1', newNode: 'home-n6' });
    if (ends === 'refused') {
      say({
        ...{ kind: 'refusal', code: 'NC3020', what: 'etcd would lose its quorum when home-n1 leaves.' },
        evidence: [
          '4 voters: home-n1, home-n2, home-n3, home-n6',
          'home-n3 is not healthy: its last answer is 48 s old',
          'healthy without home-n1: 2, needed: 3',
        ],
        remedy: 'Bring home-n3 back, then queue the run again: it goes on with this pair.',
      });
    }
    const said =
      outcome === 'nothingDue' ? 'The oldest node is home-n2 with 44 days; the limit is 60.' : reason;
    say({ kind: 'outcome', outcome: ends, reason: said });
    atMs += 620;
  });
  if (outcome === 'succeeded') {
    say({ kind: 'after', world: world(node('home-n6', all, 0, 'ubuntu-24.04 of 2026-05-04'), '127.0.0.26') });
    say({
      kind: 'evidence',
      subject: 'home-n6',
      facts: {
        'OS release': 'Ubuntu 24.04.2 LTS',
        kernel: '6.8.0-58-generic',
        'container runtime': 'docker 26.1.4',
        'host key': 'SHA256:9vJ0mWq0M1w3aTQ5pV2sZcB7uRk',
      },
    });
  }
  say({
    kind: 'logHead',
    host: 'hyperv-1',
    entries: 41,
    hash: 'b3a1f0d28c6e54979f0c2a7be1d3456890aa17c4de5f6b7288910fedcba01234',
  });
  return events;
}

export function sample({ outcome = 'succeeded', failed = 0 }: SampleOptions = {}): ReportData {
  const run = summarise(sampleEvents(outcome));
  const endedMs = (run.endedMs ?? STARTED_MS) + 700;
  const seconds = Math.ceil((endedMs - STARTED_MS) / 1_000);
  const perSecond = Array.from({ length: seconds }, (_, index) => {
    const bad = index >= seconds * 0.6 && index < seconds * 0.6 + 3 ? Math.round(failed / 3) : 0;
    const ok = 58 + Math.round(4 * Math.sin(index * 1.7)) - bad;
    return {
      t: STARTED_MS + index * 1_000,
      ok,
      failed: bad,
      p99Ms: 6.5 + 3.5 * Math.abs(Math.sin(index * 0.9)) + (index % 17 === 5 ? 14 : 0),
    };
  });
  const total = perSecond.reduce((sum, second) => sum + second.ok + second.failed, 0);
  const bad = perSecond.reduce((sum, second) => sum + second.failed, 0);
  const counts = (share: number, failures: number, p50Ms: number, p99Ms: number) => ({
    ...{ total: Math.round(total * share), failed: failures, resetOnIdle: 0, apiRetried: 0, p50Ms, p99Ms },
  });
  const succeeded = outcome === 'succeeded';
  const reasons: Record<ReportData['outcome'], string> = {
    succeeded: 'home-n1 was 71 days old; the limit is 60.',
    failed: 'RkeRemoveRole etcd home-n1 failed: rke ended with exit code 1.',
    refused: 'etcd would lose its quorum when home-n1 leaves.',
    nothingDue: 'The oldest node is home-n2 with 44 days; the limit is 60.',
  };
  return {
    ...{ cluster: 'home', outcome, reason: reasons[outcome], startedMs: STARTED_MS, endedMs, run },
    replaced: succeeded ? [{ old: 'home-n1', new: 'home-n6' }] : [],
    vms: { peak: 6, steady: 5 },
    traffic: {
      requests: { total, failed: bad, resetOnIdle: 3, apiRetried: 2, p50Ms: 1.42, p99Ms: 11.8 },
      classes: {
        http: { ...counts(0.62, bad, 1.3, 9.4), resetOnIdle: 3 },
        stream: counts(0.22, 0, 0.9, 6.1),
        api: { ...counts(0.08, 0, 4.8, 18.2), apiRetried: 2 },
        alias: counts(0.08, 0, 1.6, 7.7),
      },
      servedBy: {
        'home-n1': Math.round(total * 0.18),
        'home-n4': Math.round(total * 0.33),
        'home-n5': Math.round(total * 0.32),
        'home-n6': Math.round(total * 0.17),
      },
      perSecond,
      failures: Array.from({ length: Math.min(bad, 4) }, (_, index) => ({
        ...{ atMs: STARTED_MS + (seconds * 0.6 + index * 0.3) * 1_000, class: 'http' },
        ...{ error: 'status 502', target: 'GET 127.0.0.10:80/' },
      })),
    },
    components: [
      { name: 'nginx', real: true, version: '1.22.1', calls: 9 },
      { name: 'BIND', real: true, version: '9.18.33', calls: 44 },
      { name: 'sshd', real: true, version: 'OpenSSH 9.2p1', calls: 21 },
      { name: 'etcd', real: true, version: '3.4.23', calls: 63 },
      { name: 'rke', real: false, version: 'of the lab, as 1.8.13', calls: 5 },
      { name: 'PowerShell engine', real: false, version: 'of the lab', calls: 18 },
    ],
    settings: [
      { name: '--approve', value: 'auto' },
      { name: '--seed', value: '1' },
    ],
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const dir = process.argv[2] ?? '.';
  for (const outcome of ['succeeded', 'failed', 'refused', 'nothingDue'] as const) {
    const page = renderReport(sample({ outcome, failed: outcome === 'failed' ? 21 : 0 }));
    writeFileSync(join(dir, `report-${outcome}.html`), page);
  }
}
