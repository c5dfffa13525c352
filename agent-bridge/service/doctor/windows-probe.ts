/**
 * What `doctor` asks of Windows: one constant PowerShell text, paths as JSON on stdin, one framed JSON answer. It reads
 * only. NOT YET RUN ON WINDOWS: written from the documentation of the cmdlets.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { EVENT_SOURCE } from '../event-log.ts';

export const SERVICE = 'NodeCycleBridge';
export const HYPERV_ADMINISTRATORS = 'S-1-5-32-578';
export const ADMINISTRATORS = 'S-1-5-32-544';
export const RULES = { door: 'NodeCycleBridge-In', packer: 'NodeCycleBridge-Packer' } as const;
const FRAME = '##NC-PROBE ';

/** Members of a group by SID; a text: why they could not be read. */
const Members = z.union([z.array(z.string()), z.string()]);
const Rule = z.strictObject({
  name: z.string(),
  enabled: z.boolean(),
  allows: z.boolean(),
  inbound: z.boolean(),
  ports: z.array(z.string()),
  remote: z.array(z.string()),
  program: z.string(),
  interfaces: z.array(z.string()),
});
export type FirewallRule = z.infer<typeof Rule>;

const Answer = z.strictObject({
  engine: z.string(),
  service: z.nullable(
    z.strictObject({
      account: z.string(),
      sid: z.string(),
      state: z.string(),
      startMode: z.string(),
      command: z.string(),
      exitCode: z.int(),
    }),
  ),
  hyperVAdministrators: Members,
  administrators: Members,
  acls: z.array(z.strictObject({ path: z.string(), sddl: z.string(), fault: z.string() })),
  rules: z.union([z.array(Rule), z.string()]),
  vmms: z.string(),
  hyperVModule: z.string(),
  dnsModule: z.string(),
  eventSource: z.boolean(),
  /** The newest copied entry; empty when there is none. */
  newestEvent: z.string(),
});
export type WindowsFacts = z.infer<typeof Answer>;

/** Constant; each part fails by itself and says so. */
export const PROBE = String.raw`
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$in = New-Object System.IO.StreamReader([Console]::OpenStandardInput(), (New-Object System.Text.UTF8Encoding($false)))
$paths = @((ConvertFrom-Json -InputObject $in.ReadToEnd()).paths)
function Get-NcVersion([string] $name) {
    $found = @(Get-Module -ListAvailable -Name $name)
    if ($found.Count -eq 0) { return '' }
    return [string] $found[0].Version
}
function Get-NcMembers([string] $sid) {
    try { return , @(Microsoft.PowerShell.LocalAccounts\Get-LocalGroupMember -SID $sid | ForEach-Object { [string] $_.SID }) }
    catch { return [string] $_ }
}
function Get-NcSid([string] $account) {
    try { return (New-Object System.Security.Principal.NTAccount($account)).Translate([System.Security.Principal.SecurityIdentifier]).Value }
    catch { return '' }
}
$service = $null
$found = CimCmdlets\Get-CimInstance -ClassName Win32_Service -Filter 'Name = ''${SERVICE}'''
if ($null -ne $found) {
    $service = [ordered] @{
        account = [string] $found.StartName; sid = Get-NcSid ([string] $found.StartName); state = [string] $found.State
        startMode = [string] $found.StartMode; command = [string] $found.PathName; exitCode = [int] $found.ExitCode
    }
}
$acls = @(foreach ($path in $paths) {
    try { [ordered] @{ path = [string] $path; sddl = [string] (Get-Acl -LiteralPath $path).Sddl; fault = '' } }
    catch { [ordered] @{ path = [string] $path; sddl = ''; fault = [string] $_ } }
})
try {
    $rules = @(foreach ($name in '${RULES.door}', '${RULES.packer}') {
        foreach ($rule in @(NetSecurity\Get-NetFirewallRule -Name $name -ErrorAction SilentlyContinue)) {
            [ordered] @{
                name = $name; enabled = ([string] $rule.Enabled -eq 'True'); allows = ([string] $rule.Action -eq 'Allow'); inbound = ([string] $rule.Direction -eq 'Inbound')
                ports = @((NetSecurity\Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule).LocalPort | ForEach-Object { [string] $_ })
                remote = @((NetSecurity\Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule).RemoteAddress | ForEach-Object { [string] $_ })
                program = [string] (NetSecurity\Get-NetFirewallApplicationFilter -AssociatedNetFirewallRule $rule).Program
                interfaces = @((NetSecurity\Get-NetFirewallInterfaceFilter -AssociatedNetFirewallRule $rule).InterfaceAlias | ForEach-Object { [string] $_ })
            }
        }
    })
}
catch { $rules = [string] $_ }
$vmms = Get-Service -Name 'vmms' -ErrorAction SilentlyContinue
$newest = ''
try {
    $event = Get-WinEvent -FilterHashtable @{ LogName = 'Application'; ProviderName = '${EVENT_SOURCE}' } -MaxEvents 1
    if ($null -ne $event) { $newest = [string] $event.Properties[0].Value }
}
catch { $newest = '' }
$answer = [ordered] @{
    engine = [string] $PSVersionTable.PSVersion
    service = $service
    hyperVAdministrators = Get-NcMembers '${HYPERV_ADMINISTRATORS}'
    administrators = Get-NcMembers '${ADMINISTRATORS}'
    acls = $acls
    rules = $rules
    vmms = if ($null -eq $vmms) { '' } else { [string] $vmms.Status }
    hyperVModule = Get-NcVersion 'Hyper-V'
    dnsModule = Get-NcVersion 'DnsServer'
    eventSource = Test-Path -LiteralPath 'Registry::HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\EventLog\Application${'\\'}${EVENT_SOURCE}'
    newestEvent = $newest
}
$bytes = (New-Object System.Text.UTF8Encoding($false)).GetBytes('${FRAME}' + (ConvertTo-Json -InputObject $answer -Depth 6 -Compress) + [char] 10)
$out = [Console]::OpenStandardOutput()
$out.Write($bytes, 0, $bytes.Length)
`.trim();

/** The last framed line; throws when there is none, or when it is not an answer. */
export function readAnswer(stdout: string): WindowsFacts {
  const line = stdout
    .split(/\r?\n/)
    .filter((one) => one.startsWith(FRAME))
    .at(-1);
  if (line === undefined) throw new Error('PowerShell gave no answer');
  const parsed = Answer.safeParse(JSON.parse(line.slice(FRAME.length)));
  if (!parsed.success)
    throw new Error(`its answer is not as expected at ${parsed.error.issues[0]?.path.join('.') ?? ''}`);
  return parsed.data;
}

/** As Windows makes it: the SHA-1 of the service's name in capitals. */
export function serviceSid(name: string): string {
  const hash = createHash('sha1').update(Buffer.from(name.toUpperCase(), 'utf16le')).digest();
  return ['S-1-5-80', ...[0, 4, 8, 12, 16].map((at) => hash.readUInt32LE(at))].join('-');
}
