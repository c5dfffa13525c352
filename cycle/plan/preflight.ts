/**
 * What must hold before anything is touched, and again before each irreversible action: one list of checks,
 * each with its code and its evidence. The node that is replaced does not count towards "all healthy".
 */
import { differsFromState, nodeChanges } from '../cluster/rke/cluster-yml.ts';
import { lag } from '../cluster/etcd/quorum.ts';
import { outOfSpace } from '../cluster/etcd/space.ts';
import { finding, type Finding } from '../cluster/finding.ts';
import type { Config } from '../config/schema.ts';
import { memberName, type Slice } from '../observed.ts';
import { expectedMembers, refuseBy } from './etcd-path.ts';
import type { Refusal } from '../step.ts';

export type PreflightWorld = Slice<'facts' | 'intent' | 'state' | 'kube' | 'etcd' | 'ssh' | 'apiservers'>;

export interface PreflightSubject {
  /** Undefined while no node has been chosen. */
  leaving?: string | undefined;
  dead: boolean;
}

type Check = (config: Config, world: PreflightWorld, subject: PreflightSubject) => Finding[];

const nodesReady: Check = (_config, world, { leaving }) =>
  world.kube.nodes
    .filter((node) => node.name !== leaving && !node.ready)
    .map((node) =>
      finding('NC1230', `The node ${node.name} is not Ready.`, [`${node.name}: ${node.readyReason}`]),
    );

/** The cordon that the old node had before its cycle stays on the way back, so it is no obstacle to it. */
const noForeignCordon: Check = (_config, world, { leaving }) =>
  world.kube.nodes
    .filter((node) => node.name !== leaving && node.unschedulable)
    .filter((node) => !(world.facts.foreignCordon === true && node.name === world.facts.old?.name))
    .map((node) =>
      finding('NC1231', `The node ${node.name} is cordoned, and not by this cycle.`, [
        `${node.name}: unschedulable`,
      ]),
    );

const sshEverywhere: Check = (_config, world, { leaving, dead }) =>
  world.intent.yml.nodes
    .filter((node) => !(dead && (node.hostnameOverride === leaving || node.address === leaving)))
    .filter((node) => world.ssh[node.address] !== undefined && world.ssh[node.address] !== 'ok')
    .map((node) =>
      finding('NC1232', `rke could not log in to ${node.hostnameOverride ?? node.address}.`, [
        `${node.address}: ${world.ssh[node.address]}`,
      ]),
    );

const clusterYmlSound: Check = (_config, world) => [
  ...world.intent.yml.problems,
  ...(world.intent.yml.drainOnUpgrade
    ? [
        finding('NC1233', 'upgrade_strategy.drain is on: rke would drain nodes by its own rules.', [
          'cluster.yml: upgrade_strategy.drain: true',
        ]),
      ]
    : []),
  ...(world.intent.yml.kubernetesVersion === undefined
    ? [
        finding(
          'NC1233',
          'cluster.yml names no kubernetes_version: a newer rke would upgrade Kubernetes on the next run.',
          [],
        ),
      ]
    : []),
];

const nothingElseApplied: Check = (_config, world) =>
  differsFromState(world.intent.text, world.state).map((difference) =>
    finding('NC1234', `rke up would also change ${difference.path}.`, [
      `cluster.yml: ${JSON.stringify(difference.file)}`,
      `rke's state: ${JSON.stringify(difference.state)}`,
    ]),
  );

const onlyThePairChanges: Check = (config, world, { leaving }) => {
  const ours = new Set(
    [world.facts.old?.address, world.facts.successor?.address, leaving].filter(
      (value) => value !== undefined,
    ),
  );
  for (const node of [...world.intent.yml.nodes, ...world.state.current.nodes]) {
    const name = node.hostnameOverride;
    if (name !== undefined && (name === world.facts.successor?.name || name === leaving))
      ours.add(node.address);
  }
  const changes = nodeChanges(world.intent.yml, world.state);
  const foreign = [
    ...changes.added.map((address) => ({ address, what: 'add' })),
    ...changes.removed.map((address) => ({ address, what: 'remove' })),
    ...changes.changed.map(({ address }) => ({ address, what: 'change the roles of' })),
    ...changes.renamed.map(({ address, key, file, state }) => ({
      address,
      what: `change ${key} from ${state} to ${file} of`,
    })),
  ].filter(({ address }) => !ours.has(address));
  const at = [`cluster.yml at ${world.intent.commit}`];
  return [
    ...foreign.map(({ address, what }) =>
      finding(
        'NC1235',
        `rke up would also ${what} ${address}, which is no part of this cycle of ${config.cluster}.`,
        at,
      ),
    ),
    ...changes.reordered.map((role) =>
      finding(
        'NC1235',
        `rke up would also make every ${role} container anew: cluster.yml lists its hosts in another order than rke's state.`,
        at,
      ),
    ),
  ];
};

const etcdSound: Check = (_config, world, { leaving, dead }) => {
  const gone = dead && leaving !== undefined ? memberName(leaving) : undefined;
  const findings: Finding[] = [];
  if (world.etcd.disagree)
    findings.push(
      finding('NC1236', 'The members of etcd disagree about who they are.', world.etcd.reachable),
    );
  const expected = new Set(expectedMembers(world));
  for (const member of world.etcd.members) {
    if (member.name === gone) continue;
    if (!member.healthy)
      findings.push(
        finding('NC1236', `The etcd member ${member.name} is not healthy.`, [
          member.trouble ?? 'no reason given',
        ]),
      );
    if (member.isLearner)
      findings.push(finding('NC1236', `The etcd member ${member.name} is a learner.`, []));
    // NOSPACE is the check of the space.
    for (const alarm of member.alarms.filter((raised) => raised !== 'NOSPACE'))
      findings.push(finding('NC1236', `The etcd member ${member.name} raises ${alarm}.`, []));
    const known =
      expected.has(member.name) ||
      member.name === memberName(world.facts.successor?.name ?? '') ||
      member.name === memberName(leaving ?? '');
    if (!known)
      findings.push(
        finding('NC1236', `etcd has a member that rke does not know: ${member.name}.`, [
          `expected: ${[...expected].join(', ')}`,
        ]),
      );
  }
  const present = world.etcd.members.filter((member) => member.name !== gone && member.healthy);
  return [...findings, ...lag(present.filter((member) => !member.isLearner))];
};

const etcdHasSpace: Check = (_config, world) => outOfSpace(world.etcd);

const aliasesInSans: Check = (config, world) => {
  const dns = config.dns;
  if (dns === undefined) return [];
  return dns.aliases
    .filter((alias) => alias.role === 'controlplane')
    .map((alias) => (alias.name.endsWith(`.${dns.zone}`) ? alias.name : `${alias.name}.${dns.zone}`))
    .filter((name) => !world.intent.yml.sans.includes(name))
    .map((name) =>
      finding(
        'NC1237',
        `authentication.sans lacks ${name}: clients that use the alias would refuse the certificate.`,
        [`sans: ${world.intent.yml.sans.join(', ')}`],
      ),
    );
};

export const CHECKS: readonly { name: string; check: Check }[] = [
  { name: 'nodes Ready', check: nodesReady },
  { name: 'no foreign cordon', check: noForeignCordon },
  { name: 'SSH to every node', check: sshEverywhere },
  { name: 'cluster.yml sound', check: clusterYmlSound },
  { name: 'nothing else would be applied', check: nothingElseApplied },
  { name: 'only the pair changes', check: onlyThePairChanges },
  { name: 'etcd sound', check: etcdSound },
  { name: 'etcd has space', check: etcdHasSpace },
  { name: 'aliases in the certificates', check: aliasesInSans },
];

/** All findings at once: a person mends them in one go. */
export function preflight(
  config: Config,
  world: PreflightWorld,
  subject: PreflightSubject,
): Refusal | undefined {
  return refuseBy(CHECKS.flatMap(({ check }) => check(config, world, subject)));
}
