/** The checks of `doctor` on Windows: account, groups, ACLs, firewall, Hyper-V, Event Log. */
import type { Guarded, Installation } from './facts.ts';
import { headIn } from '../event-log.ts';
import { ok, warning, wrong } from './finding.ts';
import type { Finding } from './finding.ts';
import { changersOf, nameOf, readersOf, readSddl } from './sddl.ts';
import { RULES, SERVICE, serviceSid } from './windows-probe.ts';
import type { FirewallRule, WindowsFacts } from './windows-probe.ts';

interface Facts extends Installation {
  windows: WindowsFacts;
}
type WindowsCheck = (facts: Facts) => Finding[];

const AGAIN = 'Run install.ps1 again, as an administrator.';
/** The service may not log on. */
const LOGON_FAILED = 1069;
const SID = serviceSid(SERVICE);

export const WINDOWS_CHECKS: readonly WindowsCheck[] = [
  engine,
  service,
  groups,
  acls,
  firewall,
  hyperV,
  eventLog,
];

export function windows(facts: Installation): Finding[] {
  const { windows: found } = facts;
  if (found === undefined) return [];
  if ('failed' in found)
    return [
      wrong(`Windows could not be asked: ${found.failed}.`, 'See that engine in bridge.yaml is PowerShell.'),
    ];
  return WINDOWS_CHECKS.flatMap((check) => check({ ...facts, windows: found }));
}

function engine({ windows: { engine: version } }: Facts): Finding[] {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 5 || (major === 5 && minor >= 1)
    ? [ok(`The engine is PowerShell ${version}.`)]
    : [
        wrong(
          `The engine is PowerShell ${version}; 5.1 or later is needed.`,
          'Correct engine in bridge.yaml.',
        ),
      ];
}

function service({ windows: { service: found } }: Facts): Finding[] {
  if (found === null) return [warning(`There is no service ${SERVICE}.`, 'Run install.ps1.')];
  const findings: Finding[] = [];
  const own = found.account.toLowerCase() === `nt service\\${SERVICE.toLowerCase()}`;
  findings.push(
    own || found.account.endsWith('$')
      ? ok(`The service runs as ${found.account}.`)
      : wrong(
          `The service runs as ${found.account}, which may do more than it should, or has a password.`,
          AGAIN,
        ),
  );
  if (/--kill-process-tree/.test(found.command))
    findings.push(
      wrong('The service host ends every job when the service stops (--kill-process-tree).', AGAIN),
    );
  if (!/^"[^"]*\\shawl\.exe" /i.test(found.command))
    findings.push(
      warning(
        `The service is started by another host than install.ps1 makes: ${found.command}`,
        'See that it ends no supervisors when it stops: docs/decisions/0022.',
      ),
    );
  if (found.startMode !== 'Auto')
    findings.push(warning(`The service does not start with Windows (${found.startMode}).`, AGAIN));
  if (found.exitCode === LOGON_FAILED)
    findings.push(
      wrong(
        `${found.account} may not log on as a service (1069).`,
        'Give it the right “Log on as a service” by policy, and see that this host may use the account (Test-ADServiceAccount).',
      ),
    );
  return findings;
}

function groups({ windows: { service: found, hyperVAdministrators, administrators } }: Facts): Finding[] {
  if (found === null) return [];
  const unknown = [hyperVAdministrators, administrators].filter((one) => typeof one === 'string');
  const findings = unknown.map((why) =>
    warning(
      `A local group could not be read: ${why}`,
      'Look at its members yourself; an orphaned SID in it may be why, or PowerShell 7 as the engine.',
    ),
  );
  const sid = found.sid || SID;
  if (typeof hyperVAdministrators !== 'string')
    findings.push(
      hyperVAdministrators.includes(sid)
        ? ok(`${found.account} is in Hyper-V Administrators.`)
        : wrong(
            `${found.account} is not in Hyper-V Administrators: it sees no VM.`,
            `${AGAIN} Then restart the service.`,
          ),
    );
  if (typeof administrators !== 'string' && administrators.includes(sid))
    findings.push(
      wrong(`${found.account} is in Administrators.`, 'Take it out: Hyper-V Administrators is enough.'),
    );
  return findings;
}

function acls({ windows: { acls: all, service: found }, guarded }: Facts): Finding[] {
  const mine = new Set([SID, ...(found?.sid ? [found.sid] : [])]);
  const faults = guarded.flatMap((one) => {
    const acl = all.find(({ path }) => path === one.path);
    if (one.found === undefined || acl === undefined) return [];
    return aclFaults(one, acl, mine);
  });
  return faults.length > 0
    ? faults
    : [ok(`ACLs: nobody else can write ${all.length} files and folders, or read what is secret.`)];
}

function aclFaults(
  { what, path, secret, ofService }: Guarded,
  { sddl, fault }: WindowsFacts['acls'][number],
  service: ReadonlySet<string>,
): Finding[] {
  const descriptor = readSddl(sddl);
  if (descriptor === undefined)
    return [
      warning(
        `The ACL of ${what}, ${path}, could not be read: ${fault || sddl}`,
        'Run doctor as an administrator, or look at it with icacls.',
      ),
    ];
  const others = changersOf(descriptor).filter((sid) => !(ofService === true && service.has(sid)));
  const findings = others.map((sid) =>
    wrong(
      `${what}, ${path}, can be changed by ${service.has(sid) ? 'the service itself' : nameOf(sid)}: whoever can do that decides what the bridge does.`,
      `${AGAIN} What lies outside its folders: icacls "${path}" shows the list.`,
    ),
  );
  const readers = readersOf(descriptor).filter((sid) => !service.has(sid) && !others.includes(sid));
  return secret
    ? [...findings, ...readers.map((sid) => wrong(`${what}, ${path}, can be read by ${nameOf(sid)}.`, AGAIN))]
    : findings;
}

function firewall({ windows: { rules }, listen, needs }: Facts): Finding[] {
  if (typeof rules === 'string')
    return [warning(`The firewall could not be asked: ${rules}`, 'Run doctor as an administrator.')];
  const door = rules.find(({ name }) => name === RULES.door);
  const packer = rules.find(({ name }) => name === RULES.packer);
  const findings =
    door === undefined
      ? [warning(`There is no firewall rule ${RULES.door}.`, AGAIN)]
      : ruleOf(door, listen.port);
  if (packer?.enabled === true) {
    if (packer.interfaces.length === 0 || packer.interfaces.includes('Any'))
      findings.push(wrong(`${RULES.packer} opens ${packer.ports.join(', ')} on every network.`, AGAIN));
    if (!needs.packer)
      findings.push(
        warning(
          `${RULES.packer} is open, and bridge.yaml has no packer.`,
          'Run install.ps1 without -PackerHttp.',
        ),
      );
  }
  return findings;
}

function ruleOf(rule: FirewallRule, port: number): Finding[] {
  if (!rule.enabled || !rule.allows || !rule.inbound)
    return [wrong(`The firewall rule ${rule.name} lets nobody in.`, AGAIN)];
  if (
    rule.remote.length === 0 ||
    rule.remote.some((one) => ['any', '*', '0.0.0.0/0', '::/0'].includes(one.toLowerCase()))
  )
    return [
      wrong(`The firewall rule ${rule.name} lets everybody in.`, 'Run install.ps1 with -AgentAddress.'),
    ];
  if (!rule.ports.includes(String(port)))
    return [
      wrong(
        `The firewall rule ${rule.name} is for port ${rule.ports.join(', ')}; the bridge listens on ${port}.`,
        AGAIN,
      ),
    ];
  return [ok(`The firewall lets ${rule.remote.join(', ')} in on port ${port}, and nobody else.`)];
}

function hyperV({ windows: { vmms, hyperVModule, dnsModule }, needs }: Facts): Finding[] {
  const findings: Finding[] = [];
  if (vmms !== 'Running')
    findings.push(
      wrong(
        `Hyper-V does not run (service vmms: ${vmms || 'not there'}).`,
        'Install the role, or start vmms.',
      ),
    );
  if (hyperVModule === '')
    findings.push(
      wrong('The PowerShell module Hyper-V is not there.', 'Install-WindowsFeature Hyper-V-PowerShell'),
    );
  if (needs.dns && dnsModule === '')
    findings.push(
      wrong(
        'The PowerShell module DnsServer is not there, and bridge.yaml has zones.',
        'Install-WindowsFeature RSAT-DNS-Server',
      ),
    );
  return findings.length > 0
    ? findings
    : [ok(`Hyper-V runs; its module is ${hyperVModule}${needs.dns ? `, that of DNS ${dnsModule}` : ''}.`)];
}

function eventLog({ windows: { eventSource, newestEvent }, needs, log }: Facts): Finding[] {
  if (!needs.eventLog) return [ok('The log is not copied to the Event Log: eventLog in bridge.yaml is off.')];
  if (!eventSource) return [wrong(`The Event Log has no source ${SERVICE}.`, AGAIN)];
  const head = headIn(newestEvent);
  if (head === undefined)
    return [
      warning(
        'The Event Log has no entry of the bridge yet.',
        'Look for eventLogFailed in the service’s own log.',
      ),
    ];
  if (log.hashAt === undefined && head.seq <= log.lastSeq)
    return [ok(`The newest entry in the Event Log, ${head.seq}, is in a log file that was put away.`)];
  return log.hashAt === head.hash
    ? [ok(`The newest entry in the Event Log, ${head.seq} of ${log.lastSeq}, is the log’s.`)]
    : [
        wrong(
          `The Event Log has entry ${head.seq} as ${head.hash}, the log ${log.hashAt === undefined ? 'ends before it' : `has ${log.hashAt}`}: the log was cut or written anew.`,
          'Keep both, and find out who could write the data folder.',
        ),
      ];
}
