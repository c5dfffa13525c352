/** RKE 1 as a driver: an edit of cluster.yml, pushed, then `rke up`; the cluster itself is asked whether it holds. */
import { CodedError } from '../../../ports/errors.ts';
import type { ClusterDriver, DriverNode, DriverSnapshot } from '../driver.ts';
import type { EtcdObservation } from '../etcd/members.ts';
import { judgePath, judgeRemoval, memberNamed } from '../etcd/quorum.ts';
import { finding } from '../finding.ts';
import type { Finding } from '../finding.ts';
import {
  addNode,
  differsFromState,
  dropRole,
  nodeChanges,
  parseClusterYml,
  removeNode,
  restoreRole,
} from './cluster-yml.ts';
import type { Edit } from './cluster-yml.ts';
import type { RunExpectation, RunOutcome } from './judge-run.ts';
import { missingFromState } from './state.ts';
import type { RkeState } from './state.ts';

/** What the driver reaches the world through; the task makes them of its ports, lock and configuration. */
export interface RkeReach {
  /** cluster.yml at the tip of its branch. */
  read(signal: AbortSignal): Promise<string>;
  /** Commits and pushes it. */
  write(text: string, message: string, signal: AbortSignal): Promise<void>;
  /** `rke up` on what was pushed, judged. */
  up(expectation: RunExpectation, signal: AbortSignal): Promise<RunOutcome>;
  /** rke's own state file. */
  state(signal: AbortSignal): Promise<RkeState>;
  etcd(signal: AbortSignal): Promise<EtcdObservation>;
  nodes(signal: AbortSignal): Promise<readonly { name: string; address?: string | undefined }[]>;
  snapshot(signal: AbortSignal): Promise<DriverSnapshot>;
  /** Removes member and Node of one that rke's state lacks: rke itself would leave both for ever. */
  removeOrphan(node: DriverNode, signal: AbortSignal): Promise<void>;
  /** etcd with one or two members may be changed. */
  allowSingleMember: boolean;
}

/** rke's name for the member of a node. */
const memberOf = (node: { name: string }) => `etcd-${node.name}`;

export function rkeClusterDriver(reach: RkeReach): ClusterDriver {
  const { allowSingleMember } = reach;

  async function apply(edit: (text: string) => Edit, message: string, signal: AbortSignal): Promise<void> {
    const edited = edit(await reach.read(signal));
    if (!edited.ok) throw new CodedError('NC3204', `${edited.problem}: ${edited.message}`);
    if (edited.changed) await reach.write(edited.text, message, signal);
  }

  async function up(change: Omit<RunExpectation, 'existingCluster'>, signal: AbortSignal): Promise<void> {
    const outcome = await reach.up({ ...change, existingCluster: true }, signal);
    if (outcome.outcome === 'failed')
      throw new CodedError('NC1242', `rke up failed (${outcome.cause}): ${outcome.reason}`);
    if (outcome.outcome === 'falseSuccess') {
      const kinds = outcome.kinds.join(', ');
      throw new CodedError('NC1242', `rke up ended well and had not done it (${kinds}).`, outcome.evidence);
    }
  }

  /** A removal is judged once more on the members of this moment. */
  async function mayRemoveMember(
    node: DriverNode,
    dead: boolean,
    signal: AbortSignal,
  ): Promise<string[] | undefined> {
    const etcd = await reach.etcd(signal);
    if (memberNamed(etcd.members, memberOf(node)) === undefined) return undefined;
    const options = { dead, allowSingleMember, snapshotTaken: allowSingleMember };
    const [first] = judgeRemoval(etcd, memberOf(node), options);
    if (first !== undefined) throw new CodedError(first.code, first.message, first.evidence);
    return [memberOf(node)];
  }

  const stateNode = async (node: DriverNode, signal: AbortSignal) =>
    (await reach.state(signal)).current.nodes.find(({ address }) => address === node.address);

  return {
    kind: 'rke',

    async preflight(leaving, signal) {
      const [text, state, etcd, nodes] = await Promise.all([
        reach.read(signal),
        reach.state(signal),
        reach.etcd(signal),
        reach.nodes(signal),
      ]);
      const etcdMembers = etcd.members.map(({ name }) => name);
      return [
        ...parseClusterYml(text).problems,
        ...pending(text, state),
        ...missingFromState(state, { etcdMembers, nodes }),
        ...(leaving?.roles.includes('etcd') === true
          ? judgePath(etcd, memberOf(leaving), {
              dead: leaving.dead,
              allowSingleMember,
              snapshotTaken: allowSingleMember,
              expected: membersOf(state),
            })
          : unwell(etcd)),
      ];
    },

    snapshot: (signal) => reach.snapshot(signal),

    async join(node, signal) {
      const { name, address, roles, like } = node;
      const add = (text: string) => {
        const edited = addNode(text, like, { address, hostnameOverride: name, roles });
        // On the way back a node that stays may have lost a role: it gets that back.
        if (edited.ok || edited.problem !== 'exists') return edited;
        const missing = roles.filter((role) => !rolesIn(text, address).includes(role));
        return missing.reduce<Edit>((one, role) => (one.ok ? restoreRole(one.text, address, role) : one), {
          ok: true,
          text,
          changed: false,
        });
      };
      await apply(withChange(add), `Add ${name} (${roles.join(', ')}), like ${like}`, signal);
      const held = (await stateNode(node, signal))?.roles ?? [];
      if (!roles.every((role) => held.includes(role))) await up({ added: [address] }, signal);
    },

    async dropRole(node, role, signal) {
      const members = role === 'etcd' ? await mayRemoveMember(node, false, signal) : undefined;
      const without = (text: string) => dropRole(text, node.address, role);
      await apply(without, `Take ${role} from ${node.name}, which leaves`, signal);
      const held = (await stateNode(node, signal))?.roles ?? [];
      if (held.includes(role)) await up({ membersRemoved: members }, signal);
    },

    async leave(node, signal) {
      const { name, address, dead } = node;
      const members = await mayRemoveMember(node, dead, signal);
      await apply((text) => removeNode(text, address), `Take ${name} out`, signal);
      const removed = [address];
      if ((await stateNode(node, signal)) !== undefined)
        await up({ removed, membersRemoved: members, dead: dead ? removed : [] }, signal);
      else if (members !== undefined || (await reach.nodes(signal)).some((one) => one.name === name))
        await reach.removeOrphan(node, signal);
    },

    async verify(nodes, signal) {
      const [text, state, etcd, there] = await Promise.all([
        reach.read(signal),
        reach.state(signal),
        reach.etcd(signal),
        reach.nodes(signal),
      ]);
      const wanted = nodes.map(({ address, roles }) => entry(address, roles));
      const etcdNodes = nodes.filter(({ roles }) => roles.includes('etcd'));
      return [
        ...differ(
          'Kubernetes has',
          nodes.map(({ name }) => name),
          there.map(({ name }) => name),
        ),
        ...differ(
          'etcd has',
          etcdNodes.map(memberOf),
          etcd.members.map(({ name }) => name),
        ),
        ...unwell(etcd),
        ...differ(
          "rke's state has",
          wanted,
          state.current.nodes.map(({ address, roles }) => entry(address, roles)),
        ),
        ...differ(
          'cluster.yml has',
          wanted,
          parseClusterYml(text).nodes.map(({ address, roles }) => entry(address, roles)),
        ),
      ];
    },
  };
}

/** `changed` of several edits in a row is that of the texts. */
function withChange(edit: (text: string) => Edit): (text: string) => Edit {
  return (text) => {
    const edited = edit(text);
    return edited.ok ? { ...edited, changed: edited.text !== text } : edited;
  };
}

/** What `rke up` would do besides what the caller is about to ask for. */
function pending(text: string, state: RkeState): Finding[] {
  const changes = nodeChanges(parseClusterYml(text), state);
  const nodes = [
    ...changes.added.map((address) => `add ${address}`),
    ...changes.removed.map((address) => `remove ${address}`),
    ...changes.changed.map(({ address }) => `change the roles of ${address}`),
    ...changes.renamed.map(({ address, key }) => `change ${key} of ${address}`),
    ...changes.reordered.map((role) => `make every ${role} container anew`),
  ];
  return [
    ...differsFromState(text, state).map(({ path, file, state: stated }) =>
      finding('NC1234', `rke up would also change ${path}.`, [JSON.stringify(file), JSON.stringify(stated)]),
    ),
    ...nodes.map((what) => finding('NC1235', `rke up would also ${what}.`)),
  ];
}

function unwell(etcd: EtcdObservation): Finding[] {
  const sick = etcd.members.filter(
    ({ healthy, isLearner, alarms, listed }) =>
      !healthy || isLearner || alarms.length > 0 || listed === false,
  );
  return [
    ...(etcd.disagree ? [finding('NC3103', 'The members do not agree on who the members are.')] : []),
    ...sick.map(({ name, id, trouble, isLearner, alarms }) =>
      finding('NC3103', `${name || id} is not fit.`, [
        trouble ?? (isLearner ? 'it is a learner' : alarms.join(', ') || 'it gave no list of members'),
      ]),
    ),
  ];
}

function membersOf(state: RkeState): string[] {
  return state.current.nodes
    .filter(({ roles }) => roles.includes('etcd'))
    .map(({ hostnameOverride }) => memberOf({ name: hostnameOverride }));
}

function rolesIn(text: string, address: string): readonly string[] {
  return parseClusterYml(text).nodes.find((node) => node.address === address)?.roles ?? [];
}

function entry(address: string, roles: readonly string[]): string {
  return `${address} [${[...roles].sort().join(', ')}]`;
}

function differ(who: string, wanted: readonly string[], found: readonly string[]): Finding[] {
  return [
    ...wanted
      .filter((one) => !found.includes(one))
      .map((one) => finding('NC3301', `${who} no ${one}.`, [...found])),
    ...found
      .filter((one) => !wanted.includes(one))
      .map((one) => finding('NC3301', `${who} ${one} too.`, [...wanted])),
  ];
}
