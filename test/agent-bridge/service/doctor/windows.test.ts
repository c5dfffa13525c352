/** `doctor` on Windows: the probe in the real PowerShell engine with stand-ins, and each check over its answer. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Installation } from '../../../../agent-bridge/service/doctor/facts.ts';
import { windows } from '../../../../agent-bridge/service/doctor/windows.ts';
import { changersOf, readersOf, readSddl } from '../../../../agent-bridge/service/doctor/sddl.ts';
import { PROBE, readAnswer, serviceSid } from '../../../../agent-bridge/service/doctor/windows-probe.ts';
import type { WindowsFacts } from '../../../../agent-bridge/service/doctor/windows-probe.ts';
import { powerShell } from '../../../powershell/engine.ts';

const SID = serviceSid('NodeCycleBridge');
const HASH = 'a'.repeat(64);
const CLOSED = `O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;${SID})`;
const OWN = `O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;;0x1200ab;;;${SID})(A;OINPIO;0x1301bf;;;${SID})`;
/** As Windows has it on its own programs. */
const SYSTEM32 =
  'O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464G:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464D:PAI(A;;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)(A;;0x1200a9;;;BA)(A;;0x1200a9;;;SY)(A;;0x1200a9;;;BU)(A;;0x1200a9;;;AC)(A;;0x1200a9;;;S-1-15-2-2)';
/** A folder that somebody made at the top of a volume. */
const TOP =
  'O:BAG:SYD:AI(A;OICIID;FA;;;BA)(A;OICIID;FA;;;SY)(A;CIID;LC;;;BU)(A;CIIOID;DC;;;BU)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)';

const answer = (change: Partial<WindowsFacts> = {}): WindowsFacts => ({
  engine: '5.1.20348.2400',
  service: {
    account: 'NT SERVICE\\NodeCycleBridge',
    sid: SID,
    state: 'Running',
    startMode: 'Auto',
    command: '"C:\\Program Files\\node-cycle-bridge\\shawl.exe" run --name NodeCycleBridge --no-restart',
    exitCode: 0,
  },
  hyperVAdministrators: [SID],
  administrators: ['S-1-5-21-1-2-3-500'],
  acls: [
    { path: 'y', sddl: CLOSED, fault: '' },
    { path: 'd', sddl: OWN, fault: '' },
    { path: 'p', sddl: SYSTEM32, fault: '' },
  ],
  rules: [
    {
      name: 'NodeCycleBridge-In',
      ...{ enabled: true, allows: true, inbound: true },
      ports: ['8443'],
      remote: ['10.0.20.9'],
      program: 'C:\\Program Files\\nodejs\\node.exe',
      interfaces: ['Any'],
    },
  ],
  vmms: 'Running',
  hyperVModule: '2.0.0.0',
  dnsModule: '2.0.0.0',
  eventSource: true,
  newestEvent: `10:${HASH}\n{"event":"ended"}`,
  ...change,
});
const there = { folder: false, executable: true };
const facts = (asked: Installation['windows'], change: Partial<Installation> = {}) =>
  ({
    guarded: [
      { what: 'bridge.yaml', path: 'y', secret: false, found: there },
      { what: 'The data folder', path: 'd', secret: true, ofService: true, found: there },
      { what: 'The engine', path: 'p', secret: false, found: there },
    ],
    log: { files: 1, entries: 10, faults: [], tornBytes: 0, highestMs: 0, lastSeq: 10, hashAt: HASH },
    needs: { dns: true, packer: false, eventLog: true },
    listen: { host: '0.0.0.0', port: 8443, state: 'taken' },
    windows: asked,
    ...change,
  }) as Installation;
const found = (change: Partial<WindowsFacts>, more: Partial<Installation> = {}) =>
  windows(facts(answer(change), more))
    .filter(({ level }) => level !== 'ok')
    .map(({ level, says, remedy }) => `${level} ${says} → ${remedy ?? ''}`);
const rule = (change: object) => ({
  rules: [{ ...(answer().rules as WindowsFacts['rules'] & object[])[0], ...change }] as WindowsFacts['rules'],
});
const acl = (path: string, sddl: string) => ({
  acls: [...answer().acls.filter((one) => one.path !== path), { path, sddl, fault: '' }],
});
const service = (change: object) => ({ service: { ...answer().service!, ...change } });

describe('the checks of doctor on Windows', () => {
  it('find nothing on a host as install.ps1 leaves it, and say each thing that is well', () => {
    assert.deepEqual(found({}), []);
    assert.ok(windows(facts(answer())).length >= 7);
    assert.deepEqual(windows({} as Installation), [], 'nothing where there is no Windows');
  });

  const packer = {
    ...(answer().rules as object[])[0],
    name: 'NodeCycleBridge-Packer',
    ports: ['8000-9000'],
    remote: ['Any'],
  };
  const cases: [what: string, change: Partial<WindowsFacts>, says: RegExp, more?: Partial<Installation>][] = [
    ['an old engine', { engine: '4.0' }, /^wrong .*PowerShell 4\.0; 5\.1/],
    ['no service', { service: null }, /^warning There is no service NodeCycleBridge/],
    ['LocalSystem', service({ account: 'LocalSystem' }), /^wrong .*runs as LocalSystem/],
    ['a person’s account', service({ account: 'CORP\\somebody' }), /^wrong .*has a password/],
    [
      'a host that ends jobs',
      service({ command: '"C:\\x\\shawl.exe" run --kill-process-tree' }),
      /^wrong .*ends every job/,
    ],
    [
      'another service host',
      service({ command: 'C:\\nssm.exe' }),
      /^warning .*another host.*decisions\/0022/,
    ],
    [
      'a service that a person has to start',
      service({ startMode: 'Manual' }),
      /^warning .*not start with Windows/,
    ],
    [
      'an account that may not log on',
      service({ account: 'CORP\\b$', exitCode: 1069 }),
      /^wrong .*1069.*Log on as a service/,
    ],
    [
      'an account outside Hyper-V Administrators',
      { hyperVAdministrators: [] },
      /^wrong .*not in Hyper-V Administrators/,
    ],
    ['an administrator', { administrators: [SID] }, /^wrong .*is in Administrators/],
    ['a group that cannot be read', { administrators: 'error 1789' }, /^warning .*1789.*orphaned/],
    [
      'a bridge.yaml that the service can write',
      acl('y', CLOSED.replace('0x1200a9', '0x1301bf')),
      /^wrong bridge\.yaml, y, can be changed by the service itself/,
    ],
    [
      'a bridge.yaml at the top of a volume',
      acl('y', TOP),
      /^wrong bridge\.yaml, y, can be changed by Users/,
    ],
    [
      'a bridge.yaml of somebody else',
      acl('y', CLOSED.replace('O:BA', 'O:S-1-5-21-1-2-3-1001')),
      /^wrong .*changed by S-1-5-21-1-2-3-1001/,
    ],
    ['a bridge.yaml without a list', acl('y', 'O:BAG:BAD:NO_ACCESS_CONTROL'), /^wrong .*changed by Everyone/],
    [
      'a data folder that users can read',
      acl('d', `${OWN}(A;OICI;0x1200a9;;;BU)`),
      /^wrong The data folder, d, can be read by Users/,
    ],
    [
      'an ACL that cannot be read',
      { acls: [{ path: 'y', sddl: '', fault: 'Access is denied' }] },
      /^warning .*could not be read: Access is denied/,
    ],
    ['no firewall rule', { rules: [] }, /^warning There is no firewall rule NodeCycleBridge-In/],
    ['a rule that is off', rule({ enabled: false }), /^wrong .*lets nobody in/],
    ['a rule that lets everybody in', rule({ remote: ['Any'] }), /^wrong .*lets everybody in.*-AgentAddress/],
    ['a rule for another port', rule({ ports: ['8444'] }), /^wrong .*port 8444; the bridge listens on 8443/],
    [
      'Packer’s ports on every network',
      { rules: [...(answer().rules as []), { ...packer, interfaces: ['Any'] } as never] },
      /^wrong NodeCycleBridge-Packer opens 8000-9000 on every network/,
      { needs: { dns: true, packer: true, eventLog: true } },
    ],
    [
      'Packer’s ports without Packer',
      { rules: [...(answer().rules as []), { ...packer, interfaces: ['vEthernet (Build)'] } as never] },
      /^warning .*has no packer/,
    ],
    [
      'a firewall that does not answer',
      { rules: 'Access is denied' },
      /^warning The firewall could not be asked/,
    ],
    ['Hyper-V that does not run', { vmms: 'Stopped' }, /^wrong Hyper-V does not run \(service vmms: Stopped/],
    ['a missing module', { hyperVModule: '' }, /^wrong .*module Hyper-V.*Install-WindowsFeature/],
    ['zones without the DNS module', { dnsModule: '' }, /^wrong .*DnsServer.*RSAT-DNS-Server/],
    ['an event source that is missing', { eventSource: false }, /^wrong The Event Log has no source/],
    [
      'a copy that has written nothing',
      { newestEvent: '' },
      /^warning .*no entry of the bridge yet.*eventLogFailed/,
    ],
    [
      'a log that was written anew',
      { newestEvent: `10:${'b'.repeat(64)} ` },
      /^wrong .*entry 10 as b+, the log has a+: the log was cut or written anew/,
    ],
    [
      'a log whose end was cut',
      { newestEvent: `12:${'b'.repeat(64)} ` },
      /^wrong .*the log ends before it/,
      { log: { ...facts(answer()).log, hashAt: undefined } as never },
    ],
  ];
  for (const [what, change, says, more] of cases)
    it(`find ${what}`, () => {
      const lines = found(change, more);
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.match(lines[0] ?? '', says);
    });

  it('say why Windows could not be asked, and nothing else', () => {
    const [one, ...more] = windows(facts({ failed: 'spawn ENOENT' }));
    assert.match(one?.says ?? '', /spawn ENOENT/);
    assert.deepEqual(more, []);
  });

  it('say nothing of the Event Log when bridge.yaml does not ask for it', () => {
    const needs = { dns: false, packer: false, eventLog: false };
    assert.deepEqual(found({ eventSource: false, newestEvent: '', dnsModule: '' }, { needs }), []);
  });
});

describe('security descriptors', () => {
  it('name those that may change or read, beside Administrators and SYSTEM', () => {
    const of = (sddl: string) => {
      const read = readSddl(sddl);
      assert.ok(read, sddl);
      return { change: changersOf(read), read: readersOf(read), cut: read.isCut };
    };
    assert.deepEqual(of(CLOSED), { change: [], read: [SID], cut: true });
    assert.deepEqual(of(OWN), { change: [SID], read: [SID], cut: true });
    assert.deepEqual(of(SYSTEM32), { change: [], read: ['BU', 'AC', 'S-1-15-2-2'], cut: true });
    assert.deepEqual(of(TOP), { change: ['BU'], read: ['BU'], cut: false });
    for (const right of [
      'GW',
      'GA',
      'FA',
      'FW',
      'WD',
      'WO',
      'SD',
      'DC',
      'LC',
      'DT',
      'CR',
      '0x40',
      '0x10000',
      '64',
    ])
      assert.deepEqual(of(`O:SYD:(A;;${right};;;AU)`).change, ['AU'], right);
    for (const right of ['FR', 'FX', 'GR', 'GX', 'RC', 'CC', 'FRFX', '0x1200a9'])
      assert.deepEqual(of(`O:SYD:(A;;${right};;;AU)`).change, [], right);
    assert.deepEqual(of('O:SYD:(D;;FA;;;WD)(OA;;FA;;;WD)S:AI(AU;SAFA;FA;;;WD)').change, []);
  });

  it('are not guessed at', () => {
    for (const text of [
      '',
      'nonsense',
      'O:BA',
      'O:BAD:(A;;QQ;;;BU)',
      'O:BAD:(A;;FA)',
      'O:BAD:(A;;F;;;BU)',
      'D:(A;;FA;;;BU)',
    ])
      assert.equal(readSddl(text), undefined, text);
  });

  it('know the SID of a service by its name', () => {
    assert.equal(
      serviceSid('TrustedInstaller'),
      'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464',
    );
  });
});

/** Windows, as far as the probe asks for it. */
const STAND_INS = `
function Get-Service { [CmdletBinding()] param([string[]] $Name) [pscustomobject] @{ Status = 'Running' } }
function Get-Module { [CmdletBinding()] param([switch] $ListAvailable, [string[]] $Name) if ($Name[0] -eq 'Hyper-V') { [pscustomobject] @{ Version = [version] '2.0.0.0' } } }
function Get-Acl { [CmdletBinding()] param([string[]] $LiteralPath) if ($LiteralPath[0] -match '^C:\\\\x') { throw 'Access is denied.' } [pscustomobject] @{ Sddl = '${CLOSED}' } }
function Get-WinEvent { [CmdletBinding()] param([hashtable[]] $FilterHashtable, [long] $MaxEvents) if ($FilterHashtable[0].ProviderName -ne 'NodeCycleBridge') { throw 'other' } [pscustomobject] @{ Properties = @([pscustomobject] @{ Value = '10:${HASH} x' }) } }
function Test-Path { [CmdletBinding()] param([string[]] $LiteralPath) $LiteralPath[0] -ceq 'Registry::HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\NodeCycleBridge' }
New-Module -Name CimCmdlets { function Get-CimInstance { [CmdletBinding()] param([string] $ClassName, [string] $Filter) if ($Filter -ne "Name = 'NodeCycleBridge'") { throw 'other' } [pscustomobject] @{ StartName = 'NT SERVICE\\NodeCycleBridge'; State = 'Running'; StartMode = 'Auto'; PathName = '"C:\\shawl.exe" run'; ExitCode = [uint32] 0 } } } | Import-Module
New-Module -Name Microsoft.PowerShell.LocalAccounts { function Get-LocalGroupMember { [CmdletBinding()] param([string] $SID) if ($SID -eq 'S-1-5-32-544') { throw 'An error (1789) occurred.' } [pscustomobject] @{ SID = '${SID}' } } } | Import-Module
New-Module -Name NetSecurity {
    function Get-NetFirewallRule { [CmdletBinding()] param([string[]] $Name) if ($Name[0] -eq 'NodeCycleBridge-In') { [pscustomobject] @{ Enabled = 'True'; Action = 'Allow'; Direction = 'Inbound' } } else { Write-Error 'none' } }
    function Get-NetFirewallPortFilter { [CmdletBinding()] param($AssociatedNetFirewallRule) [pscustomobject] @{ LocalPort = '8443' } }
    function Get-NetFirewallAddressFilter { [CmdletBinding()] param($AssociatedNetFirewallRule) [pscustomobject] @{ RemoteAddress = @('10.0.20.9', '10.0.20.10') } }
    function Get-NetFirewallApplicationFilter { [CmdletBinding()] param($AssociatedNetFirewallRule) [pscustomobject] @{ Program = 'C:\\node.exe' } }
    function Get-NetFirewallInterfaceFilter { [CmdletBinding()] param($AssociatedNetFirewallRule) [pscustomobject] @{ InterfaceAlias = 'Any' } }
} | Import-Module
`;

describe('what doctor asks Windows', function () {
  this.timeout(120_000);

  it('is text that can be an argument on Windows, without double quotes and in ASCII', () => {
    assert.doesNotMatch(PROBE, /"|[^\x20-\x7e\n]/);
    assert.ok(PROBE.length < 16_000, 'a command line has 32,767 characters');
  });

  it('gives an answer that is read, in the real engine with stand-ins', async function () {
    const program = await powerShell();
    if (typeof program === 'string') return this.skip();
    const dir = mkdtempSync(join(tmpdir(), 'probe-'));
    try {
      writeFileSync(join(dir, 'probe.ps1'), `${STAND_INS}\n${PROBE}\n`);
      const run = spawnSync(program.file, ['-NoLogo', '-NoProfile', '-File', join(dir, 'probe.ps1')], {
        input: JSON.stringify({ paths: ["C:\\y's.yaml", 'C:\\x', '$(throw 1)'] }),
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      });
      const said = readAnswer(run.stdout);
      const { engine, service: asService, ...rest } = said;
      assert.match(engine, /^\d+\.\d+/);
      assert.equal(asService?.account, 'NT SERVICE\\NodeCycleBridge');
      assert.deepEqual(rest, {
        hyperVAdministrators: [SID],
        administrators: 'An error (1789) occurred.',
        acls: [
          { path: "C:\\y's.yaml", sddl: CLOSED, fault: '' },
          { path: 'C:\\x', sddl: '', fault: 'Access is denied.' },
          { path: '$(throw 1)', sddl: CLOSED, fault: '' },
        ],
        rules: [
          {
            name: 'NodeCycleBridge-In',
            ...{ enabled: true, allows: true, inbound: true },
            ports: ['8443'],
            remote: ['10.0.20.9', '10.0.20.10'],
            program: 'C:\\node.exe',
            interfaces: ['Any'],
          },
        ],
        vmms: 'Running',
        hyperVModule: '2.0.0.0',
        dnsModule: '',
        eventSource: true,
        newestEvent: `10:${HASH} x`,
      });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('is not taken for answered by anything else that is said', () => {
    assert.throws(() => readAnswer(''), /no answer/);
    assert.throws(() => readAnswer('##NC-PROBE {"engine":5}\n'), /not as expected/);
    assert.throws(() => readAnswer('##NC-PROBE nonsense'), SyntaxError);
  });
});
