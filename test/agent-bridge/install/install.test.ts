/**
 * install.ps1 in the real PowerShell language engine, on a folder that stands for a Windows Server host. What it does to
 * files is real; accounts, ACLs, services, registry and firewall are stand-ins that note how they were called.
 */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Installation } from '../../../agent-bridge/service/doctor/facts.ts';
import { windows } from '../../../agent-bridge/service/doctor/windows.ts';
import { serviceSid } from '../../../agent-bridge/service/doctor/windows-probe.ts';
import { powerShell } from '../../powershell/engine.ts';
import { windowsHost } from './windows-host.ts';
import type { WindowsHost } from './windows-host.ts';

const SERVICE_SID = /^S-1-5-80(-\d+){5}$/;
const ADMINISTRATORS_AND_SYSTEM = /^O:BAG:BAD:PAI\(A;(OICI)?;FA;;;SY\)\(A;(OICI)?;FA;;;BA\)/;

describe('install.ps1', function () {
  this.timeout(120_000);
  const hosts: WindowsHost[] = [];
  let h: WindowsHost;
  let asNew: () => void;
  /** Installing takes seconds, and most cases begin with it. */
  let asInstalled: { restore: () => void; out: string } | undefined;
  before(async function () {
    const found = await powerShell();
    if (typeof found === 'string') return this.skip();
    h = await windowsHost(found.file);
    hosts.push(h);
    asNew = h.snapshot();
  });
  beforeEach(() => asNew());
  after(() => hosts.forEach((host) => host.end()));

  const named = (name: string) => h.calls().filter((call) => call.name === name);
  const acl = (...path: string[]) => h.world().acls[join(...path)] ?? '';
  /** What the service's own entries grant, by flags. */
  const service = (sddl: string) =>
    [...sddl.matchAll(/\(A;([A-Z]*);([^;]+);;;(S-1-5-80-[\d-]+)\)/g)].map(
      ([, flags, rights]) => `${flags ?? ''} ${rights ?? ''}`,
    );
  /** Windows PowerShell was asked with constant text, the account in a variable. */
  const groupActs = () =>
    named('powershell.exe').map((call) => {
      const { args, account } = call.with as { args: string[]; account: string };
      assert.deepEqual(args.slice(0, 4), ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command']);
      const text = args[4] ?? '';
      assert.doesNotMatch(text, /"|NodeCycleBridge/);
      const [, verb] =
        /LocalAccounts\\(Add|Remove)-LocalGroupMember -SID S-1-5-32-578 -Member \$account/.exec(text) ?? [];
      return `${verb ?? ''} ${account}`;
    });
  const config = () => join(h.state, 'config', 'bridge.yaml');
  const installed = async () => {
    if (asInstalled === undefined) {
      const { code, out } = await h.run();
      assert.equal(code, 0, out);
      h.change({ service: { ...h.world().service!, StartName: 'NT SERVICE\\NodeCycleBridge' } });
      asInstalled = { restore: h.snapshot(), out };
    } else asInstalled.restore();
    return asInstalled.out;
  };

  it('shows every act with -WhatIf and does none', async () => {
    const before = readdirSync(h.dir).sort();
    const { code, out } = await h.run({ WhatIf: true, PackerHttp: 'Build' });
    assert.equal(code, 0, out);
    assert.deepEqual(
      h.calls().map(({ name }) => name),
      ['whoami.exe'],
      'only a question was asked',
    );
    assert.deepEqual(
      readdirSync(h.dir)
        .filter((name) => name !== 'calls')
        .sort(),
      before,
    );
    for (const says of [
      /Stop the service/,
      /Make the folder and close it/,
      /bridge-admin init/,
      /Make or correct the service: "/,
      /Register the source/,
      /Allow TCP 8443 for .* from 10\.0\.20\.9 only/,
      /8000-9000 from the switch Build only/,
      /Start the service/,
    ])
      assert.match(out, says);
    const acts = out.split('\n').filter((line) => line.startsWith('What if:')).length;
    const { out: done } = await h.run({ PackerHttp: 'Build' });
    assert.ok(acts > 20 && !/What if/.test(done));
  });

  it('installs: files, closed folders, a bridge.yaml that grants nothing, account, service, event source, firewall', async () => {
    const out = await installed();
    for (const name of [
      'bridge.cjs',
      'bridge-admin.cjs',
      'shawl.exe',
      'install.ps1',
      join('scripts', 'vm-create.ps1'),
    ])
      assert.ok(existsSync(join(h.program, name)), name);
    assert.match(readFileSync(config(), 'utf8'), /clients: \[\]/);
    for (const place of [h.program, join(h.dir, 'vms'), join(h.dir, 'images')])
      assert.ok(readFileSync(config(), 'utf8').includes(JSON.stringify(place).slice(0, -1)), place);
    assert.ok(existsSync(join(h.state, 'data', 'keys', 'server.key')));
    assert.match(out, /Next:[\s\S]*enroll agent-prod/);

    const [made] = named('New-Service');
    assert.equal(
      made?.with['BinaryPathName'],
      `"${h.program}/shawl.exe" run --name NodeCycleBridge --no-restart --stop-timeout 20000 --cwd "${h.state}/data" --log-dir "${h.state}/data/service" --log-rotate bytes=10485760 --log-retain 5 -- "${process.execPath}" "${h.program}/bridge.cjs" serve --config "${config()}"`,
    );
    assert.deepEqual(
      named('sc.exe').map((call) => (call.with['args'] as string[]).join(' ')),
      [
        'config NodeCycleBridge obj= NT SERVICE\\NodeCycleBridge start= delayed-auto',
        'sidtype NodeCycleBridge unrestricted',
        'failure NodeCycleBridge reset= 86400 actions= restart/5000/restart/30000/restart/300000',
        'failureflag NodeCycleBridge 1',
      ],
    );
    assert.deepEqual(groupActs(), ['Add NT SERVICE\\NodeCycleBridge']);
    const [rule, ...more] = named('New-NetFirewallRule');
    assert.deepEqual(more, [], 'no port for Packer unless it is asked for');
    assert.deepEqual(
      { port: rule?.with['LocalPort'], from: rule?.with['RemoteAddress'], by: rule?.with['Program'] },
      { port: '8443', from: '10.0.20.9', by: process.execPath },
    );
    assert.equal(named('reg.exe').length, 2);
    assert.equal(h.world().service?.State, 'Running');
  });

  it('never lets the service write bundle, scripts, wrapper, client list or bridge.yaml', async () => {
    await installed();
    for (const path of [
      [h.program],
      [h.program, 'scripts'],
      [h.state],
      [h.state, 'config'],
      [h.state, 'data', 'clients'],
      [h.state, 'data', 'keys'],
    ]) {
      assert.match(acl(...path), ADMINISTRATORS_AND_SYSTEM, path.join('/'));
      for (const granted of service(acl(...path)))
        assert.match(granted, /^(OICI)? ?0x1200a9$/, path.join('/'));
      assert.doesNotMatch(acl(...path), /;;;(BU|AU|WD|IU)\)/);
    }
    // Files of its own, right there, and nothing of the folders below: no FILE_DELETE_CHILD (0x40).
    assert.deepEqual(service(acl(h.state, 'data')), [' 0x1200ab', 'OINPIO 0x1301bf']);
    assert.deepEqual(service(acl(h.state, 'data', 'keys')), ['OICI 0x1200a9']);
    for (const name of ['jobs', 'records', 'admin', 'service'])
      assert.deepEqual(service(acl(h.state, 'data', name)), ['OICI 0x1301bf'], name);
    const folders = Object.keys(h.world().acls);
    assert.ok(
      folders.every((path) => ADMINISTRATORS_AND_SYSTEM.test(h.world().acls[path] ?? '')),
      'the rest inherits',
    );
    const sid = /0x1200a9;;;([^)]+)\)$/.exec(acl(h.program))?.[1] ?? '';
    assert.match(sid, SERVICE_SID);
    assert.deepEqual(
      named('icacls.exe').map((call) => call.with['args']),
      [
        [join(h.dir, 'vms'), '/grant', `*${sid}:(OI)(CI)(M)`, '/q'],
        [join(h.dir, 'images'), '/grant', `*${sid}:(OI)(CI)(M)`, '/q'],
      ],
    );
  });

  it('leaves a host in which doctor finds no ACL at fault', async () => {
    await installed();
    const guard = (what: string, path: string, more: object = {}) => ({
      ...{ what, path, secret: false, found: { folder: false, executable: true } },
      ...more,
    });
    const data = { secret: true, ofService: true };
    const guarded = [
      guard('bridge.yaml', join(h.state, 'config')),
      guard('The bundle', h.program),
      guard('The folder of the scripts', join(h.program, 'scripts')),
      guard('The client list', join(h.state, 'data', 'clients')),
      guard('The data folder', join(h.state, 'data'), data),
      guard('The folder of the server\u2019s keys', join(h.state, 'data', 'keys'), { secret: true }),
    ];
    const acls = guarded.map(({ path }) => ({ path, sddl: acl(path), fault: '' }));
    const { StartName: account, PathName: command } = h.world().service!;
    const asked = {
      ...{
        engine: '5.1',
        vmms: 'Running',
        hyperVModule: '2.0',
        dnsModule: '',
        eventSource: true,
        newestEvent: '',
      },
      service: {
        account,
        command: command.replace(h.program, 'C:\\p').replace('/shawl', '\\shawl'),
        sid: '',
        state: 'Running',
        startMode: 'Auto',
        exitCode: 0,
      },
      hyperVAdministrators: [serviceSid('NodeCycleBridge')],
      administrators: [],
      rules: [],
      acls,
    };
    const needs = { dns: false, packer: false, eventLog: false };
    const facts = { guarded, windows: asked, needs, listen: { port: 8443 } } as unknown as Installation;
    assert.deepEqual(
      windows(facts)
        .filter(({ level }) => level !== 'ok')
        .map(({ says }) => says),
      ['There is no firewall rule NodeCycleBridge-In.'],
    );
    const open = acls.map((one) => ({ ...one, sddl: one.sddl.replaceAll('0x1200a9', '0x1301bf') }));
    const said = windows({ ...facts, windows: { ...asked, acls: open } });
    assert.equal(said.filter(({ says }) => says.includes('the service itself')).length, 5);
  });

  it('closes a folder before anything is in it', async () => {
    await installed();
    const closings = named('Set-Acl').map(({ with: { LiteralPath, inside } }) => [LiteralPath, inside]);
    assert.ok(closings.some(([path]) => path === join(h.state, 'data', 'keys')));
    assert.deepEqual(
      closings.filter(([, inside]) => inside !== 0),
      [],
    );
  });

  it('changes nothing of a person when it is run again', async () => {
    await installed();
    const mine = `${readFileSync(config(), 'utf8')}# mine\n`.replace('port: 8443', 'port: 9443');
    writeFileSync(config(), mine);
    const key = readFileSync(join(h.state, 'data', 'keys', 'server.key'));
    const { code, out } = await h.run();
    assert.equal(code, 0, out);
    assert.equal(readFileSync(config(), 'utf8'), mine);
    assert.ok(readFileSync(join(h.state, 'data', 'keys', 'server.key')).equals(key));
    assert.deepEqual(
      [named('New-Service'), named('Invoke-CimMethod'), named('New-NetFirewallRule')],
      [[], [], []],
    );
    assert.equal(named('Set-NetFirewallRule')[0]?.with['LocalPort'], '9443', 'the port of bridge.yaml');
    assert.doesNotMatch(out, /enroll agent-prod/);
  });

  it('upgrades: stops, replaces, removes scripts that are no more, starts', async () => {
    await installed();
    writeFileSync(join(h.program, 'scripts', 'gone.ps1'), 'of the version before');
    writeFileSync(join(h.program, 'scripts', 'vm-stop.ps1'), 'of the version before');
    appendFileSync(join(h.package, 'bridge.cjs'), '// newer\n');
    h.seal();
    const { code, out } = await h.run();
    assert.equal(code, 0, out);
    assert.match(readFileSync(join(h.program, 'bridge.cjs'), 'utf8'), /\/\/ newer\n$/);
    assert.match(readFileSync(join(h.program, 'scripts', 'vm-stop.ps1'), 'utf8'), /Invoke-NcScript/);
    assert.ok(!existsSync(join(h.program, 'scripts', 'gone.ps1')));
    const names = h.calls().map(({ name }) => name);
    assert.ok(names.indexOf('Stop-Service') < names.indexOf('Set-Acl'));
    assert.ok(names.indexOf('Set-Acl') < names.indexOf('Start-Service'));
  });

  it('corrects the command line of a service that has another', async () => {
    await installed();
    h.change({ service: { ...h.world().service!, PathName: '"C:\\old\\shawl.exe" run' } });
    assert.equal((await h.run()).code, 0);
    assert.deepEqual(
      (named('Invoke-CimMethod')[0]?.with['Arguments'] as { PathName: string }).PathName.slice(0, 20),
      `"${h.program}`.slice(0, 20),
    );
  });

  it('never ends a job: it replaces nothing while one runs, and starts the bridge again', async () => {
    await installed();
    const bundle = join(h.program, 'bridge.cjs');
    const before = readFileSync(bundle, 'utf8');
    appendFileSync(join(h.package, 'bridge.cjs'), '// newer\n');
    h.seal();
    h.change({
      processes: [{ CommandLine: `"node" "${h.program}/bridge.cjs" supervise "${h.state}/data/jobs/1/1"` }],
    });
    const { code, out } = await h.run();
    assert.equal(code, 1);
    assert.match(out, /1 job\(s\) still run; nothing was replaced/);
    assert.equal(readFileSync(bundle, 'utf8'), before);
    assert.deepEqual(
      h
        .calls()
        .map(({ name }) => name)
        .slice(1),
      ['Stop-Service', 'Start-Service'],
    );
    h.change({ processes: [{ CommandLine: '"node" "C:\\other\\bridge.cjs" supervise x' }] });
    assert.equal((await h.run()).code, 0, 'somebody else’s program is none of ours');
  });

  it('takes a group managed service account, and says which right it needs', async () => {
    const { code, out } = await h.run({ ServiceAccount: 'CORP\\bridge$' });
    assert.equal(code, 0, out);
    const args = named('sc.exe').map((call) => (call.with['args'] as string[]).join(' '));
    assert.ok(args.includes('config NodeCycleBridge obj= CORP\\bridge$ start= delayed-auto'));
    assert.ok(args.includes('managedaccount NodeCycleBridge true'));
    assert.match(out, /CORP\\bridge\$ needs the right to log on as a service/);
  });

  it('opens 8000 to 9000 from the build switch alone, and closes them when they are no longer asked for', async () => {
    await h.run({ PackerHttp: 'Build' });
    const packer = named('New-NetFirewallRule').find(
      (call) => call.with['Name'] === 'NodeCycleBridge-Packer',
    );
    assert.deepEqual(
      [packer?.with['LocalPort'], packer?.with['InterfaceAlias']],
      ['8000-9000', 'vEthernet (Build)'],
    );
    await h.run();
    assert.deepEqual(
      named('Remove-NetFirewallRule').map((call) => call.with['Name']),
      ['NodeCycleBridge-Packer'],
    );
  });

  it('uninstalls, and keeps bridge.yaml, keys, log and jobs unless they are to go', async () => {
    await installed();
    const { code, out } = await h.run({ Uninstall: true });
    assert.equal(code, 0, out);
    assert.ok(!existsSync(h.program) && existsSync(config()) && existsSync(join(h.dir, 'vms')));
    assert.deepEqual(groupActs(), ['Remove NT SERVICE\\NodeCycleBridge']);
    assert.deepEqual(
      named('sc.exe').map((call) => call.with['args']),
      [['delete', 'NodeCycleBridge']],
    );
    assert.deepEqual(named('Remove-NetFirewallRule').length, 1);
    h.change({ service: null });
    assert.equal((await h.run({ Uninstall: true, RemoveData: true })).code, 0);
    assert.ok(!existsSync(h.state) && existsSync(join(h.dir, 'images')));
    assert.equal((await h.run({ Uninstall: true, RemoveData: true })).code, 0, 'once more is no error');
  });

  it('removes no folder that is not the bridge’s', async () => {
    mkdirSync(join(h.dir, 'mine'));
    writeFileSync(join(h.dir, 'mine', 'thesis'), '');
    const { code, out } = await h.run({ Uninstall: true, ProgramDir: join(h.dir, 'mine') });
    assert.equal(code, 1);
    assert.match(out, /has no bridge\.cjs: it is not what it was taken for/);
    assert.ok(existsSync(join(h.dir, 'mine', 'thesis')));
  });

  const refused = async (parameters: Record<string, unknown>, ...says: RegExp[]) => {
    const { code, out } = await h.run(parameters);
    for (const said of says) assert.match(out, said);
    assert.match(out, /Nothing was changed/);
    assert.equal(code, 1);
    assert.ok(h.calls().every(({ name }) => name === 'whoami.exe'));
    assert.ok(!existsSync(h.program));
  };

  it('refuses a host that is none, with every reason at once, and has changed nothing', async () => {
    writeFileSync(join(h.dir, 'integrity'), 'S-1-16-8192');
    h.change({ system: { ProductType: 1, BuildNumber: '9600' }, hyperV: false, hyperVModule: false });
    await refused(
      {},
      /not elevated/,
      /no Windows Server/,
      /2016 or later/,
      /no service vmms/,
      /module Hyper-V/,
    );
    h.change({ system: { ProductType: 2, BuildNumber: '20348' } });
    await refused({}, /domain controller/);
  });

  it('refuses parameters that are wrong, with every reason at once', async () => {
    await refused(
      {
        NodePath: '/nowhere/node.exe',
        WrapperSha256: 'ab',
        AgentAddress: '10.0.20.9,010.0.0.1,0.0.0.0/0,10.1,::',
        ServiceAccount: 'CORP\\somebody',
        StateDir: '/a" --kill-process-tree "',
        VmRoot: 'vms',
      },
      /There is no \/nowhere\/node\.exe/,
      /-WrapperSha256 must be/,
      /'010\.0\.0\.1' is neither/,
      /'0\.0\.0\.0\/0' is neither/,
      /'10\.1' is neither/,
      /'::' is neither/,
      /-ServiceAccount must be .* group managed service account/,
      /'\/a" --kill-process-tree "' is no absolute path, or has/,
      /'vms' is no absolute path/,
    );
    await refused(
      { NodePath: 'node.exe', WrapperPath: 'shawl.exe', AgentAddress: [], ServiceAccount: 'LocalSystem' },
      /absolute path of node\.exe/,
      /absolute path of shawl\.exe/,
      /-AgentAddress must name/,
      /-ServiceAccount must be/,
    );
  });

  it('refuses a wrapper, a package or a state folder that somebody else has touched', async () => {
    writeFileSync(h.wrapper, 'another program');
    appendFileSync(join(h.package, 'scripts', 'common.ps1'), '#');
    rmSync(join(h.package, 'bridge.cjs'));
    appendFileSync(join(h.package, 'SHA256SUMS'), `${'0'.repeat(64)}  ../x\n`);
    mkdirSync(h.state, { recursive: true });
    h.change({ acls: { [h.state]: 'O:S-1-5-21-1-2-3-1001G:BUD:(A;;FA;;;BU)' } });
    await refused(
      {},
      /has the SHA-256 [0-9A-F]{64}, not the one/,
      /scripts\/common\.ps1 is not the file of the package/,
      /bridge\.cjs is missing/,
      /a line that is none of its own: '0{64} {2}\.\.\/x'/,
      /belongs to neither Administrators nor SYSTEM/,
    );
    writeFileSync(join(h.package, 'SHA256SUMS'), '');
    await refused({}, /does not name install\.ps1/);
  });

  it('says what failed when a program of Windows does, and stops there', async () => {
    writeFileSync(join(h.dir, 'sc-fails'), '');
    const { code, out } = await h.run();
    assert.equal(code, 1);
    assert.match(out, /sc\.exe config ended with exit code 1/);
    assert.deepEqual(named('Start-Service'), []);
    rmSync(join(h.dir, 'sc-fails'));
    assert.equal((await h.run()).code, 0, 'the next run goes on from there');
  });

  it('stops nothing for a bridge.yaml that the new version would refuse', async () => {
    await installed();
    writeFileSync(config(), `${readFileSync(config(), 'utf8')}grants: all\n`);
    const { code, out } = await h.run();
    assert.equal(code, 1);
    assert.match(out, /unknown key "grants"[\s\S]*Nothing was changed[\s\S]*has faults for this version/);
    assert.deepEqual(
      h.calls().map(({ name }) => name),
      ['whoami.exe'],
    );
  });
});
