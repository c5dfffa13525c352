/**
 * Every error code of Node Cycle, in one list.
 *
 * 1xxx configuration and engine · 2xxx bridge · 3xxx cluster · 4xxx edges · 5xxx tasks and pipelines · 9xxx lab.
 * A code is never reused. `docs/errors.md` is generated from this list.
 */

export interface ErrorEntry {
  /** What is wrong, in one line, without the case's own values. */
  title: string;
  /** What a person can do about it. */
  remedy: string;
}

export const ERRORS = {
  // --- 1xxx configuration and engine
  NC1001: {
    title: 'The configuration is not valid.',
    remedy: 'Correct the listed places; each names what was expected.',
  },
  NC1002: {
    title: 'The configuration could not be read.',
    remedy: 'Check the path that the task was given.',
  },
  NC1010: {
    title: 'No progress: an action had no effect.',
    remedy:
      'Compare the observation before and after in the log, remove what blocks it, and queue the run again.',
  },
  NC1011: {
    title: 'A deadline passed.',
    remedy: 'See what was awaited in the log; queue the run again when it can be reached.',
  },
  NC1012: { title: 'The run was cancelled.', remedy: 'Queue it again: it continues where it stopped.' },
  NC1013: {
    title: 'The lock of this cluster is held by another run.',
    remedy: 'Wait for that run, or release it by its last stage.',
  },
  NC1014: {
    title: 'The step would go on for ever.',
    remedy: 'Report this with the log: a plan did not become shorter.',
  },
  NC1101: {
    title: 'The file is not valid YAML.',
    remedy: 'Correct the line that is named; a YAML-aware editor marks it.',
  },
  NC1102: { title: 'A key stands twice in its group.', remedy: 'Keep one of the two.' },
  NC1103: {
    title: 'The key is unknown.',
    remedy: 'Correct its name or its group; docs/config.md lists all keys.',
  },
  NC1104: { title: 'A key is missing.', remedy: 'Add it; docs/config.md says what it means.' },
  NC1105: {
    title: 'The value has the wrong type.',
    remedy: 'Write the type that the message names; mind quotes.',
  },
  NC1106: {
    title: 'The value is not allowed.',
    remedy: 'Use one of the values or the form that the message names.',
  },
  NC1110: {
    title: 'The address range cannot be used.',
    remedy: 'Give ranges as first-last, lower address first, without overlap.',
  },
  NC1111: {
    title: 'The address is in use by something else in this file.',
    remedy: 'Move it out of the range, or take it out by splitting the range in two.',
  },
  NC1112: {
    title: 'The time zone is unknown.',
    remedy: 'Use a name of the IANA database, such as Europe/Berlin.',
  },
  NC1113: {
    title: 'The window never opens.',
    remedy: 'Set an end that differs from the start, or leave the window out.',
  },
  NC1114: {
    title: 'The name pattern gives no usable names.',
    remedy: 'Use {cluster}, {role} and exactly one counter; the names must be valid host names.',
  },
  NC1115: {
    title: 'No size is set.',
    remedy: 'Set the size of each role that a node has by itself, as in bridge.yaml.',
  },
  NC1116: {
    title: 'The path cannot be used.',
    remedy: 'Files of the repository are relative to its root; folders on the agent are absolute.',
  },
  NC1117: { title: 'The branch cannot be used.', remedy: 'Give the short name of a branch, such as main.' },
  NC1118: {
    title: 'The address, URL or key of another system cannot be used.',
    remedy: 'Correct it to the form that the message names; secrets belong in service connections.',
  },
  NC1119: {
    title: 'The DNS names contradict each other or the zone.',
    remedy: 'Keep each alias once, inside the zone, and a CNAME alone at its name.',
  },
  NC1120: {
    title: 'The TSIG key and the DNS adapter do not fit.',
    remedy: 'Set dns.keyName with rfc2136, leave it out with windows. The secret itself is a task input.',
  },
  NC1121: { title: 'The same system is listed twice.', remedy: 'Remove one of the two entries.' },
  NC1122: {
    title: 'The times contradict each other.',
    remedy: 'Allow a wait more time than the observations that it needs.',
  },
  NC1123: {
    title: 'The reservation service cannot be used as it is written.',
    remedy: 'Correct the URL, the path or the program that the message names; docs/config.md lists the keys.',
  },
  // planning and preflight
  NC1210: {
    title: 'The node that was named is not in the cluster.',
    remedy: 'Name a node as Kubernetes does.',
  },
  NC1211: {
    title: 'The node is held.',
    remedy: 'Remove the label node-cycle/hold from the node when it may be replaced.',
  },
  NC1212: {
    title: 'Something would not be served.',
    remedy:
      'Bring the other instance back first, or allow the interruption by its name in allow.interruption.',
  },
  NC1213: {
    title: 'The whole way was judged in advance and is not possible.',
    remedy: 'See the evidence: it names the step that could not be done.',
  },
  NC1215: {
    title: 'No name, address or size is left for the successor.',
    remedy: 'Widen the pattern, the ranges or the sizes in node-cycle.yml.',
  },
  NC1216: {
    title: 'The VM is not known to the bridge.',
    remedy: 'Run adopt for this VM on the host, as the message shows.',
  },
  NC1217: {
    title: 'The VM of a node is missing or set aside.',
    remedy: 'See the evidence; bring the VM back, or run the earlier task.',
  },
  NC1218: {
    title: 'The host or the address is outside what is allowed.',
    remedy: 'Compare node-cycle.yml and bridge.yaml with what the evidence names.',
  },
  NC1219: {
    title: 'An identity is ambiguous.',
    remedy: 'Make names, addresses and markers unique; nothing is guessed.',
  },
  NC1220: {
    title: 'There is no way back any more.',
    remedy: 'Let the cycle go forward: queue it again without direction: back.',
  },
  NC1221: {
    title: 'Roles leave in one order: controlplane, etcd, node.',
    remedy: 'Run the task for the earlier role first.',
  },
  NC1222: {
    title: 'Something still refers to the node.',
    remedy: 'Run the earlier stages; each names what it takes away.',
  },
  NC1223: {
    title: 'The image is missing or not newer.',
    remedy: 'Build the image, or set vm.requireNewer: false.',
  },
  NC1224: { title: 'A login is not proven.', remedy: 'Check key, user, port and the pinned host key.' },
  NC1225: {
    title: 'The window is closed.',
    remedy: 'Approve again when it is open, or set window.atGates: approval.',
  },
  NC1226: {
    title: 'There is no cycle to continue or to take back.',
    remedy: 'Queue a run without direction: back.',
  },
  NC1227: {
    title: 'The new node is not newer than the old one.',
    remedy:
      'Build a newer image and queue with direction: back, which takes the new VM away; or install the pending updates on the new node and queue again; or set vm.requireNewer: false.',
  },
  NC1228: {
    title: 'A VM is known on two hosts.',
    remedy:
      'Find out on which host it runs, and remove the other one (a replica, or what a move left behind).',
  },
  NC1229: {
    title: 'No host can take the successor.',
    remedy:
      'Give one of them room (memory, or maxRunningVms, budgets, images and sizes in its bridge.yaml), add its bridge to the task, or choose another vm.placement.',
  },
  NC1230: { title: 'A node is not Ready.', remedy: 'Bring it back, or replace it first (node: its name).' },
  NC1231: {
    title: 'A node was cordoned by somebody else.',
    remedy: 'Uncordon it, or wait for whoever works on it.',
  },
  NC1232: {
    title: 'A node cannot be reached by SSH.',
    remedy: 'Check that host, its key in known_hosts, and the user; rke would hang or drop it.',
  },
  NC1233: {
    title: 'cluster.yml holds something that makes rke up unsafe.',
    remedy: 'Change the place that the message names.',
  },
  NC1234: {
    title: 'rke up would apply more than this cycle.',
    remedy: 'Apply that change by itself first, or take it back.',
  },
  NC1235: {
    title: 'rke up would touch a node that is no part of this cycle.',
    remedy: 'Run rke up for that change by itself first, or take it back.',
  },
  NC1236: {
    title: 'etcd is not sound.',
    remedy: 'Bring every member to health; check alarms and the member list.',
  },
  NC1237: {
    title: 'An alias is missing in the certificates.',
    remedy: 'Add it to authentication.sans and run rke up by itself first.',
  },
  NC1238: {
    title: 'An alias is of another type in the zone.',
    remedy: 'Write the type that it has under dns.aliases, or change the record in the zone first.',
  },
  NC1240: {
    title: 'A push was refused.',
    remedy:
      'Give the credential the right to push to that branch. On Azure Repos a protected branch gets a pull request instead: for that the credential has to be one for HTTPS, with the right to contribute to pull requests.',
  },
  NC1241: { title: 'A push lost every race.', remedy: 'Queue the run again when the branch is quieter.' },
  NC1242: {
    title: 'rke up did not do what it was run for.',
    remedy: 'Read the lines of rke in the log; the next run continues from here.',
  },
  NC1243: {
    title: 'This version of rke is not known.',
    remedy: 'Use a known version, or set rke.allowUnknownVersion: true.',
  },
  NC1244: {
    title: 'The state of rke is missing or not to be trusted.',
    remedy:
      'Put back a backup from the state directory, or the state of the agent that ran last; it is compared with the live cluster before it is used.',
  },
  NC1245: {
    title: 'A pull request was not completed.',
    remedy:
      'See it under its link: approve it, or mend what stands against it. Queue the run again: it finds the request and goes on from it.',
  },
  NC1250: {
    title: 'Somebody else changed it at the same moment.',
    remedy: 'Nothing: it is read again and tried again.',
  },
  NC1251: {
    title: 'The proxy did not take a configuration.',
    remedy: 'See the output of nginx in the evidence; mend the files on the proxy.',
  },
  NC1252: {
    title: 'The DNS server refused a change.',
    remedy: 'Check the key and the update policy of the zone.',
  },
  NC1254: {
    title: 'A drain did not end.',
    remedy: 'See which pods stayed; queue the run again when they can move.',
  },
  NC1253: {
    title: 'The bridge did not do it.',
    remedy: 'See the code of the bridge; its log on the host says more.',
  },
  // --- 2xxx bridge
  NC2001: {
    title: 'bridge.yaml is not valid.',
    remedy: 'Correct the listed lines; the bridge grants nothing until then.',
  },
  NC2002: {
    title: 'The bridge\u2019s log is broken.',
    remedy:
      'Keep the file, find out who changed it, and run `audit verify`; the bridge does not start on it.',
  },
  NC2003: {
    title: 'The bridge\u2019s log cannot be written.',
    remedy: 'Free space or repair the disk, then restart the bridge; it acts on nothing until then.',
  },
  NC2004: {
    title: 'The bridge did not accept the request.',
    remedy:
      'Compare the field and the rule with bridge.yaml on the host; `bridge check` prints what this client may do.',
  },
  NC2005: {
    title: 'The connection to the bridge ended before its answer.',
    remedy: 'Queue the run again: the same request finds the job that it made.',
  },
  NC2007: {
    title: 'The bridge could not be reached.',
    remedy: 'Check its address, the firewall, and that the service runs.',
  },
  NC2008: {
    title: 'The bridge\u2019s certificate is not the pinned one.',
    remedy:
      'Compare the fingerprint with the one that `enroll` printed on the host; while the bridge changes its certificate, the service connection needs both.',
  },
  NC2009: {
    title: 'The bridge gave an answer that was not understood.',
    remedy: 'Compare the versions of the extension and the bridge.',
  },
  NC2010: {
    title: 'The admin command cannot be carried out.',
    remedy: 'See what was found; nothing was changed.',
  },
  NC2011: {
    title: 'A private key can be read by others.',
    remedy: 'Restrict the file to its owner, or make a new key with `init` or `enroll`.',
  },
  NC2012: {
    title: 'The fingerprint of the bridge\u2019s certificate is not one.',
    remedy:
      'Copy it again from what `init`, `enroll` or `rotate` printed on the host: one, or two while the certificate is being changed.',
  },
  NC2013: {
    title: 'The certificate cannot be enrolled.',
    remedy:
      'Make one as docs/host.md shows: self-signed, no authority, for clients only, good for a year at most. Nothing was changed.',
  },
  NC2014: {
    title: 'A script on the host is not the one of this version.',
    remedy: 'Run bridge-admin init, which writes the scripts anew, and look who may write to that folder.',
  },
  // --- 3xxx cluster
  NC3001: {
    title: 'The kubeconfig cannot be used.',
    remedy:
      'Check that the file is the one of this cluster and that its context, user and certificates are there.',
  },
  NC3010: {
    title: 'The Kubernetes API did not do what was asked.',
    remedy:
      'See the status and the message; a control-plane node may be restarting, or the rights are missing.',
  },
  NC3011: {
    title: 'An object changed while it was being changed.',
    remedy: 'Queue the run again: it reads afresh.',
  },
  NC3020: {
    title: 'A PodDisruptionBudget can never let this pod go.',
    remedy: 'Raise the replicas or relax the budget; the evidence shows which.',
  },
  NC3021: {
    title: 'Several PodDisruptionBudgets select the same pod.',
    remedy: 'Let only one budget select it: the eviction API refuses such pods.',
  },
  NC3022: {
    title: 'A pod has no controller and would be lost.',
    remedy: 'Give it a controller, delete it, or allow unmanaged pods.',
  },
  NC3023: {
    title: 'A volume lives on the node that leaves.',
    remedy: 'Move its data first, or allow local volumes.',
  },
  NC3024: {
    title: 'The other nodes have no room for the pods that would move.',
    remedy: 'Add a node, or lower what the pods request.',
  },
  NC3025: {
    title: 'Another node is cordoned or not ready.',
    remedy: 'Bring it back first: one node at a time.',
  },
  NC3026: {
    title: 'A pod keeps data in an emptyDir volume.',
    remedy: 'Allow emptyDir data to be deleted, or move it.',
  },
  NC3027: { title: 'There is no such node.', remedy: 'Check the name against `kubectl get nodes`.' },
  NC3101: {
    title: 'etcd does not answer.',
    remedy: 'Check the etcd containers and that this machine reaches port 2379 of a member.',
  },
  NC3102: {
    title: 'etcd would lose its quorum.',
    remedy: 'Bring the unhealthy members back, or add one, before one is taken.',
  },
  NC3103: {
    title: 'etcd is not healthy enough to change its membership.',
    remedy: 'Every voter must be healthy, caught up, and without alarm; see the evidence.',
  },
  NC3104: {
    title: 'The etcd members are not those that are expected.',
    remedy:
      'Compare cluster.yml, the state file and the member list; remove an orphan with `etcdctl member remove`.',
  },
  NC3105: {
    title: 'An etcd cluster of so few members cannot be changed without a gap.',
    remedy: 'Use three members, or allow it with `allowSingleMember` and a checked snapshot.',
  },
  NC3106: {
    title: 'etcd is out of space, or nearly.',
    remedy:
      'Compact, defragment one member after the other with the leader last, then `etcdctl alarm disarm`; or raise the quota.',
  },
  NC3107: {
    title: 'A database of etcd is fragmented.',
    remedy: 'Defragment it in a quiet hour, one member after the other with the leader last.',
  },
  NC3110: {
    title: 'The etcd snapshot could not be taken.',
    remedy: 'Check space and the member that was asked.',
  },
  NC3111: { title: 'The etcd snapshot is damaged.', remedy: 'Take it again; do not rely on this file.' },
  NC3201: { title: 'cluster.yml cannot be read.', remedy: 'Correct the named place.' },
  NC3202: { title: 'rke would refuse cluster.yml.', remedy: 'Correct the named node.' },
  NC3204: {
    title: 'cluster.yml cannot be edited safely.',
    remedy: 'Write the node entry out as its own list item.',
  },
  NC3210: {
    title: 'The rke state file is not valid.',
    remedy:
      "Restore a backup or recover the cluster's own copy; rke would make new certificates over a live cluster.",
  },
  NC3211: {
    title: "The rke state file is not the cluster's own.",
    remedy: 'Find out which is right before rke runs: compare CA and node list.',
  },
  NC3212: {
    title: 'The cluster still has what the rke state file no longer knows.',
    remedy: 'rke would leave it behind for ever: remove the member or Node itself, then run again.',
  },
  NC3220: { title: 'Another rke runs in this folder.', remedy: 'Wait for it to end.' },
  NC3221: {
    title: 'rke did not end in time.',
    remedy: 'See the last line of its log; a host may accept and stay silent.',
  },
  NC3222: { title: 'rke cannot be started.', remedy: 'Check the path and the version of the program.' },
  NC3230: {
    title: 'The ssh-agent could not be started or refused the key.',
    remedy: 'The key must be an unencrypted private key; check that ssh-agent and ssh-add are installed.',
  },
  NC3301: {
    title: 'The cluster is not as it was asked to be.',
    remedy: 'See the evidence; run again, and when it stays, look at the node that is named.',
  },
  // --- 4xxx edges
  NC4001: {
    title: 'An nginx file could not be understood.',
    remedy: 'Correct the named line; `nginx -t` on the proxy shows what nginx itself says.',
  },
  NC4002: {
    title: 'An upstream of this name is defined more than once.',
    remedy: 'Keep each upstream in one file, or give the proxy script only the file that is in use.',
  },
  NC4003: {
    title: 'An address is not an IPv4 or IPv6 address.',
    remedy: 'Correct the value where it comes from; only plain addresses reach a configuration.',
  },
  NC4004: {
    title: 'The change would leave an upstream without a server that takes traffic.',
    remedy: 'Bring another server into that upstream first.',
  },
  NC4005: {
    title: 'The proxy did not answer in the form of its fixed script.',
    remedy:
      'Check that the account is bound to node-cycle-proxy.sh and that the installed version is this one.',
  },
  NC4006: {
    title: 'The proxy refused.',
    remedy: 'See the output of the proxy; nothing of the change was left in force.',
  },
  NC4007: {
    title: 'A removed upstream line cannot be put back.',
    remedy: 'Put the quoted line back by hand, then reload nginx.',
  },
  NC4020: {
    title: 'No addresses were found at the configured YAML path.',
    remedy: 'Correct ingress.path: it must end at a list of addresses, a comma list or a single address.',
  },
  NC4021: {
    title: 'The values file is not valid YAML.',
    remedy: 'Correct the named line in the GitOps repository.',
  },
  NC4022: {
    title: 'The addresses are written in a form that cannot be edited without touching other lines.',
    remedy: 'Write them as a list, as a comma list, or in a literal block (|).',
  },
  NC4023: {
    title: 'The change would leave no ingress address.',
    remedy: 'Bring another address in first.',
  },
  NC4024: {
    title: 'The configured YAML path could not be read.',
    remedy:
      'Write parts joined by dots, with [0] or [name=value] for list items and | after a string of YAML.',
  },
  NC4040: {
    title: 'A DNS server did not answer for the zone.',
    remedy: 'Check dns.servers and dns.zone: each server must answer with authority, without recursion.',
  },
  NC4041: {
    title: 'A DNS name or value is not of the form that its type needs.',
    remedy: 'Correct the value where it comes from; nothing was sent.',
  },
  NC4042: {
    title: 'The change would leave an alias without a record.',
    remedy: 'Bring another member in first.',
  },
  NC4060: {
    title: 'A git reference or path is not of a form that git accepts.',
    remedy: 'Correct the branch, URL or path in the configuration; nothing was run.',
  },
  NC4061: {
    title: 'Azure Repos did not answer as its documentation says.',
    remedy:
      'Check that the credential may create pull requests; see the status and the words of the service.',
  },
  NC4080: {
    title: 'The reservation service does not answer for now.',
    remedy: 'Bring it back; the run that is queued again goes on where this one stopped.',
  },
  NC4081: {
    title: 'The reservation service refused.',
    remedy:
      'Check the service connection reservation, and addresses.service in node-cycle.yml, against what it says.',
  },
  NC4082: {
    title: 'The answer of the reservation service cannot be read.',
    remedy:
      'Correct addresses.service.fields, or the service: it must answer with one MAC and one IPv4 address.',
  },
  NC4083: {
    title: 'The name has a reservation already, and nobody says which.',
    remedy: 'Set addresses.service.find, or release that reservation by hand.',
  },
  // --- 5xxx tasks and pipelines
  NC5001: {
    title: 'A task input holds a variable that was never set.',
    remedy: 'Set the variable, or correct its name in the pipeline.',
  },
  NC5002: { title: 'A required task input is empty.', remedy: 'Give the input a value in the pipeline.' },
  NC5003: {
    title: 'A service connection is missing.',
    remedy: 'Create it, or let this pipeline use it, under the name in the message.',
  },
  NC5006: {
    title: 'The agent did not say something that a task needs.',
    remedy: 'Run the task in a pipeline of Azure Pipelines.',
  },
  NC5005: {
    title: 'A task input is not one of its values.',
    remedy: 'Use one of the values in the message.',
  },
  NC5004: {
    title: 'A service connection lacks a part.',
    remedy: 'Edit the service connection and fill in the part in the message.',
  },
  NC5007: {
    title: 'The proxy or the CA file of the agent cannot be used.',
    remedy: "Correct the agent's `--proxyurl`, `.proxybypass` or `--sslcacert`, or the job's `HTTPS_PROXY`.",
  },
  NC5008: {
    title: 'Two bridges are on the same host.',
    remedy: 'Name each host once in the input bridge.',
  },
  NC5009: {
    title: 'A host has no bridge in the input of the task.',
    remedy: 'Give every task of the pipeline the bridges of all hosts.',
  },
  // --- 9xxx lab
  NC9001: { title: 'The lab does not know this option.', remedy: 'Run npm run lab -- --help.' },
  NC9201: {
    title: "The lab's world has no such thing.",
    remedy: 'Name a host, VM, machine or node that exists; GET /state of the control socket lists them.',
  },
  NC9101: {
    title: 'The pipeline file is not valid.',
    remedy: 'Correct the named line; Azure Pipelines would refuse it as well.',
  },
  NC9102: {
    title: "The pipeline uses something that the lab's runner does not know.",
    remedy: 'Write it in another way, or teach the runner the construct.',
  },
  NC9103: {
    title: 'An expression of the pipeline is not valid.',
    remedy: 'Correct the expression at the named place.',
  },
  NC9104: {
    title: 'A parameter does not fit its declaration.',
    remedy: 'Pass a value of the declared type; the message lists what is allowed.',
  },
  NC9105: {
    title: 'A task of the pipeline cannot be started.',
    remedy: 'Correct the step or the task.json that is named.',
  },
  NC9106: {
    title: 'The work folder holds something that is not of the runner.',
    remedy: 'Name an empty folder: the work folder is wiped before each job.',
  },
  NC9107: {
    title: 'The sources could not be checked out.',
    remedy: 'Check that the commit is in the repository that the run was queued for.',
  },
  NC9108: {
    title: 'No agent meets the demands of a job.',
    remedy: "Give the agent the capability, or correct the job's demands.",
  },
  NC9109: {
    title: 'A stage cannot be skipped by hand.',
    remedy: 'Stages with isSkippable: false always run or fail; reject their approval instead.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** An error that a person reads: code, what happened here, and what can be done. */
export class CodedError extends Error {
  constructor(
    readonly code: ErrorCode,
    /** What was expected, what was found, and where. */
    readonly detail: string,
    readonly evidence: readonly string[] = [],
    options?: { cause?: unknown },
  ) {
    super(`${code} ${ERRORS[code].title} ${detail}`.trim(), options);
    this.name = 'CodedError';
  }

  get remedy(): string {
    return ERRORS[this.code].remedy;
  }
}
