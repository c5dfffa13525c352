/**
 * The lies and traps of rke, one a row: how the lab's rke is brought to each, what the naive check (exit code 0
 * and the line `Finished building Kubernetes cluster successfully`) says there, and which of our checks says
 * otherwise. `prove` runs a row: the trap is provoked, both checks are asked, both answers are compared with it.
 *
 * Held elsewhere, with their own naive check beside ours:
 * - `nginx -t` and a reload that end 0 and change nothing: test/cycle/edge/nginx/proxy-cases.ts
 * - an A record beside a CNAME, which nsupdate takes with 0: test/cycle/edge/dns/zone-cases.ts
 * - every warning that leaves the exit code at 0 (add-ons, reconcile, a member that older versions could not
 *   remove), lines split or mixed, a live cluster taken for a new one, the logs of the real program:
 *   test/cycle/cluster/rke/log.test.ts
 * A snapshot that rke calls saved when one host of many has it: Node Cycle asks rke for none and checks its own
 * (test/cycle/cluster/etcd).
 */
import assert from 'node:assert/strict';
import { naive, type Ended } from './cluster.ts';

export interface Trap {
  /** Section of facts/rke.md (`rke`) or facts/rke-ran.md (`ran`). */
  facts: string;
  trap: string;
  provoked: string;
  /** `failure`: it fails after the harm is done, or without saying of what. `nothing`: it never comes to an answer. */
  naive: 'success' | 'failure' | 'nothing';
  /** Each stands in what our checks say: code, kind of false success, cause of failure, or action of a plan. */
  ours: readonly string[];
}

const row = (
  facts: string,
  trap: string,
  provoked: string,
  says: Trap['naive'],
  ...ours: readonly string[]
): Trap => ({ facts, trap, provoked, naive: says, ours });

// prettier-ignore
export const TRAPS = {
  // Hosts that are dead (dead.test.ts)
  firstRunEver: row('ran 7, 66', 'a first run succeeds without the dead worker of its file', 'machine off, no state', 'success', 'judgeRun: hostSkipped', 'Kubernetes has no Node home-n3'),
  firstRunNoLogin: row('ran 5 and 7', 'a first run succeeds without a worker that does not take the key', 'key not authorised, no state', 'success', 'judgeRun: hostSkipped', 'NC1232', 'authentication'),
  failedThenRemoved: row('ran 7, 59', 'a removal after a failed run removes nothing and warns of nothing', 'up with the node dead, then without it', 'success', 'judgeRun: removalNotSeen', 'judgeRun: memberRemovalNotSeen', 'Kubernetes has the Node home-n3', 'NC3212', 'orphan.remove home-n3'),
  removedDead: row('ran 7, 61', 'a dead node is removed and its containers run on', 'machine off, entry removed', 'success', 'judgeRun: removedHostUnreachable'),
  removedDeadControlplane: row('ran 7, 62', 'a dead control plane is removed and never cleaned up', 'machine off, entry removed', 'success', 'judgeRun: removedHostUnreachable'),
  deadWorkerInFile: row('ran 7, 58', 'a run that fails at a dead worker has already forgotten it', 'machine off, entry kept', 'failure', 'NC1232', 'judgeRun: failed, hostUnreachable', 'NC3212'),
  deadControlplaneInFile: row('ran 7, 64', 'a run fails at a dead control plane', 'machine off, entry kept', 'failure', 'NC1232', 'judgeRun: failed, hostUnreachable'),
  allowedUnavailable: row('ran 7, 67', 'a run that allows a dead worker goes to its end without it', 'max_unavailable_worker 2', 'failure', 'NC1232', 'judgeRun: failed, hostUnreachable'),
  silentHost: row('ran 5, 38', 'a host that accepts and says nothing stops rke for ever', 'SSH silent', 'nothing', 'NC1232', 'NC3221', 'no rke left'),
  hostKeyChanged: row('ran 5, 79', 'another host key is taken without a word', 'host key made anew', 'success', 'NC1232', 'the host key is not a pinned one'),
  wrongWords: row('ran 5, 33', 'a closed port is told as a Docker that does not run', 'SSH on another port, single node', 'failure', 'judgeRun: failed, ssh', 'NC1232'),
  dockerIgnored: row('ran 5, 37b', 'ignore_docker_version in the file has no effect', 'Docker 28, key in cluster.yml', 'failure', 'judgeRun: failed, runtimeVersion', 'NC1234'),

  // What rke does to nodes, roles and etcd (roles.test.ts)
  maskedMember: row('rke, 4', 'a member is called removed while etcd still has it', 'the removal fails, a survivor is healthy', 'success', 'etcd has the member etcd-home-n1', 'NC1236'),
  maskedRole: row('rke, 4', 'the etcd role is called dropped while etcd still has the member', 'the removal fails, a survivor is healthy', 'success', 'etcd still has the member etcd-home-n1'),
  quorum: row('rke, 4 and 5', 'etcd refuses a removal that would cost its quorum, and rke calls it done', 'one of three killed, another removed', 'success', 'NC1236', 'NC3102', 'etcd has the member etcd-home-n1'),
  etcdReplaced: row('ran 4, 82', 'every etcd host is another at once', 'etcd moved from all to another', 'failure', 'NC1235'),
  workerFirst: row('rke, 3', 'the worker role dropped first puts NoExecute on the node', 'worker taken, etcd and controlplane kept', 'success', 'NC1221'),
  uncordoned: row('rke, 2', 'every node of the file is uncordoned', 'node cordoned by a person', 'success', 'NC1231'),
  ownCordon: row('rke, 2', 'our own cordon is taken off by a run in between', 'leaving node cordoned, one role dropped', 'success', 'cordon home-n1', 'drain home-n1'),
  notDrained: row('rke, 1', 'a node with pods is deleted without a drain', 'entry of a worker removed', 'success', 'cordon home-n4', 'drain home-n4'),
  noControlplane: row('ran 4, 88', 'a file without control plane tears the last one down, then fails', 'role taken from the only one', 'failure', 'NC1212', 'NC3202'),
  renamed: row('ran 7, 84', 'a changed hostname_override leaves the old Node behind', 'hostname_override of a worker changed', 'success', 'NC1235 rke up would also change hostname_override'),
  reordered: row('rke, cluster.yml', 'sorted nodes make every etcd and apiserver anew', 'two entries change places', 'success', 'NC1235 rke up would also make every etcd'),
  addressTwice: row('ran 3, 27d', 'the same internal_address twice is taken', 'internal_address of another node', 'success', 'NC3202'),
  roleTwice: row('ran 3, 23c', 'the same role twice is taken', 'role [worker, worker]', 'success', 'NC3202'),

  // What else is in cluster.yml (config.test.ts)
  unknownKey: row('ran 3, 21d', 'an unknown key is taken', 'frobnicate: true', 'success', 'NC1234', 'frobnicate'),
  keyTwice: row('ran 3, 21f', 'the last of two equal keys is taken', 'cluster_name twice', 'success', 'NC3202'),
  noVersion: row('rke, rke up', 'a file without version lets a newer rke upgrade Kubernetes', 'key taken out, rke v1.3.0', 'success', 'NC1233', 'kubernetes_version'),
  drainOnUpgrade: row('rke, rke up', 'upgrade_strategy.drain lets rke drain by its own rules', 'drain: true', 'success', 'NC1233', 'drain'),
  otherChange: row('rke, rke up', 'any other change of the file is applied to every apiserver', 'service_cluster_ip_range', 'success', 'NC1234', 'service_cluster_ip_range'),
  sansLost: row('rke, cluster.yml', 'an alias taken out of the SANs leaves the certificate', 'authentication.sans', 'success', 'NC1237', 'NC1234'),
  foreignNode: row('rke, rke up', 'a node that is no part of the cycle is removed with it', 'entry of another worker removed', 'success', 'NC1235'),
  unknownProgram: row('ran 9', 'a version of rke that nobody has looked at does as it likes', 'rke v1.9.0', 'success', 'NC1243'),
  noNodes: row('ran 3, 20', 'an empty file is taken, and rewrites the state before it fails', 'cluster.yml empty', 'failure', 'NC3201'),

  // State files (state.test.ts)
  emptyState: row('ran 6, 73a', 'an empty state file puts a new CA on the live cluster', 'empty file', 'failure', 'NC3210', 'empty'),
  junkState: row('ran 6, 73c', 'a state file of junk puts a new CA on the live cluster', 'no JSON', 'failure', 'NC3210', 'notJson'),
  truncatedState: row('ran 6, 72', 'a truncated state file puts a new CA on the live cluster', 'half of the file', 'failure', 'NC3210', 'truncated'),
  emptyObject: row('ran 6, 73b', 'a state file of {} ends the run', '{}', 'failure', 'NC3210', 'emptyObject'),
  noState: row('rke, State', 'a missing state file puts a new CA on the live cluster', 'no state, no kubeconfig', 'failure', 'recovered', 'judgeRun: failed'),
  foreignState: row('rke, State', 'the state of another cluster is taken', 'state of another cluster', 'failure', 'NC3211', 'self-signed certificate in certificate chain'),
  openState: row('ran 6', 'a state file that others may read stays so', 'mode 0644', 'success', 'recovered 0600', 'backup 0600'),

  // The program as a process (process.test.ts)
  twoAtOnce: row('ran 8, 71', 'two runs at once: one succeeds, the other breaks off', 'two rke up in one folder', 'success', 'NC3220', 'judgeRun: failed, concurrentRun'),
  killed: row('ran 8, 70', 'a run that is killed says nothing', 'SIGTERM after the first write', 'failure', 'judgeRun: failed, signal', 'state readable'),
  quiet: row('ran 1, 4', 'a quiet run prints nothing, not even what it left out', 'rke -q up', 'nothing', 'judgeRun: noSuccessLine'),
  quietFailure: row('ran 1, 4', 'a quiet run that fails prints nothing', 'rke -q up without a file', 'failure', 'judgeRun: failed, unknown: exit code 1, and no output'),
  terminal: row('ran 1, 5', 'the terminal form hides its warnings in colours', 'first run with a dead worker, on a terminal', 'success', 'judgeRun: hostSkipped'),
  prompt: row('ran 1, 6', 'the fatal line stands behind a prompt, without quotes', 'rke remove, no answer', 'failure', 'fatal EOF'),
  panic: row('ran 1, 2', 'a panic is on stderr only, with exit 2', 'ssh_key_path of one character', 'failure', 'judgeRun: failed, crash', 'slice bounds out of range'),
  unknownCommand: row('ran 1, 1', 'an unknown command is told on stderr, with exit 3', 'rke frobnicate', 'failure', 'judgeRun: failed, usage'),
} as const satisfies Record<string, Trap>;

export type TrapName = keyof typeof TRAPS;

export interface Answers {
  /** What the naive check looks at; `nothing` when it never ends or prints nothing. */
  naive: Ended | 'nothing';
  /** Everything that our checks said. */
  ours: readonly string[];
}

/** One row of the table as a test. */
export function prove(name: TrapName, provoke: () => Promise<Answers>): void {
  const { facts, trap, naive: expected, ours } = TRAPS[name];
  it(`${trap} (${facts}); we say ${ours.join(', ')}`, async () => {
    const answers = await provoke();
    assert.equal(saidBy(answers.naive), expected, 'the naive check');
    for (const said of ours)
      assert.ok(
        answers.ours.some((text) => text.includes(said)),
        `expected "${said}" in:\n${answers.ours.join('\n')}`,
      );
  });
}

function saidBy(ended: Ended | 'nothing'): Trap['naive'] {
  if (ended === 'nothing') return 'nothing';
  return naive(ended) ? 'success' : 'failure';
}
