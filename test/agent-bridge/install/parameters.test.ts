/** The syntax trees of the installer, of doctor's question and of the writer: what they use is in 5.1 and in 7. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WRITER } from '../../../agent-bridge/service/event-log.ts';
import { PROBE } from '../../../agent-bridge/service/doctor/windows-probe.ts';
import { engineProgram } from '../../powershell/engine.ts';
import { filesBelow, ROOT, textOf } from '../../repository/tree.ts';

interface Tree {
  errors: string[];
  commands: { name: string | null; line: number; parameters: string[]; splatted: boolean }[];
  functions: string[];
  nodes: string[];
  tokens: string[];
}

const EVERYWHERE = JSON.parse(textOf('test/powershell/everywhere.json')) as Record<
  string,
  Record<string, string>
>;
const FILTER = 'AssociatedNetFirewallRule All PolicyStore GPOSession CimSession ThrottleLimit AsJob';
const RULE =
  'PolicyStore GPOSession Name DisplayName Description Group Enabled Profile Platform Direction Action EdgeTraversalPolicy LocalAddress RemoteAddress Protocol LocalPort RemotePort Program Service InterfaceAlias InterfaceType CimSession ThrottleLimit AsJob';
/** Modules that the table lacks, from their published reference for Windows Server 2016 to 2025. */
const DOCUMENTED: Record<string, Record<string, string>> = {
  NetSecurity: {
    'New-NetFirewallRule': RULE,
    'Set-NetFirewallRule': `${RULE} NewDisplayName InputObject PassThru`,
    'Get-NetFirewallRule': 'Name DisplayName Group PolicyStore All CimSession ThrottleLimit AsJob',
    'Remove-NetFirewallRule':
      'Name DisplayName Group PolicyStore All InputObject PassThru CimSession ThrottleLimit AsJob',
    'Get-NetFirewallPortFilter': `${FILTER} Protocol DynamicTarget`,
    'Get-NetFirewallAddressFilter': FILTER,
    'Get-NetFirewallApplicationFilter': `${FILTER} Program Package`,
    'Get-NetFirewallInterfaceFilter': `${FILTER} InterfaceAlias`,
  },
  'Microsoft.PowerShell.Diagnostics': {
    'Get-WinEvent':
      'LogName ListLog ListProvider ProviderName Path FilterHashtable FilterXml FilterXPath MaxEvents Oldest Force ComputerName Credential',
  },
};
/** Of 5.1 alone: doctor says so when its engine is 7 and it does not load; the installer asks Windows PowerShell. */
const ONLY_5_1 = {
  'Microsoft.PowerShell.LocalAccounts': { 'Get-LocalGroupMember': 'Group Member Name SID' },
};
const TABLE: Record<string, Record<string, string>> = { ...EVERYWHERE, ...DOCUMENTED, ...ONLY_5_1 };
const COMMON = ['ErrorAction', 'WhatIf', 'Confirm'];
/** Syntax that Windows PowerShell 5.1 lacks. */
const NEWER = [
  'TernaryExpressionAst',
  'PipelineChainAst',
  'QuestionQuestion',
  'QuestionQuestionEquals',
  'QuestionDot',
  'AndAnd',
  'OrOr',
  'Clean',
];
const NEVER = [
  'Invoke-Expression',
  'Add-Type',
  'Invoke-Command',
  'Invoke-WebRequest',
  'Invoke-RestMethod',
  'Start-Process',
];

describe('the PowerShell of the installer, of doctor and of the copy to the Event Log', function () {
  this.timeout(300_000);
  let trees: Tree[];
  before(async function () {
    const engine = await engineProgram();
    if (typeof engine === 'string') return this.skip();
    const dir = mkdtempSync(join(tmpdir(), 'parameters-'));
    try {
      writeFileSync(join(dir, 'probe.ps1'), PROBE);
      writeFileSync(join(dir, 'writer.ps1'), WRITER);
      const files = [
        ...installer().map((path) => join(ROOT, path)),
        join(dir, 'probe.ps1'),
        join(dir, 'writer.ps1'),
      ];
      const { stdout, status } = spawnSync(engine.file, ['--parse', ...files], {
        encoding: 'utf8',
        maxBuffer: 64 * 2 ** 20,
      });
      assert.equal(status, 0);
      trees = JSON.parse(stdout) as Tree[];
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
  const installer = () => filesBelow('agent-bridge/install').filter((path) => path.endsWith('.ps1'));

  it('has no syntax that Windows PowerShell 5.1 lacks, is ASCII, and calls nothing that loads code', () => {
    assert.equal(trees.length, 4);
    for (const tree of trees) {
      assert.deepEqual(tree.errors, []);
      assert.deepEqual(
        [...tree.nodes, ...tree.tokens].filter((one) => NEWER.includes(one)),
        [],
      );
      assert.deepEqual(
        tree.commands.filter(({ name }) => NEVER.includes(name ?? '')),
        [],
      );
    }
    for (const path of installer())
      assert.doesNotMatch(readFileSync(join(ROOT, path), 'latin1'), /[^\x20-\x7e\r\n]/, path);
  });

  it('uses cmdlets and parameters that both editions and all versions have', () => {
    const own = new Set(trees.flatMap(({ functions }) => functions));
    let looked = 0;
    for (const { commands } of trees)
      for (const { name, line, parameters } of commands) {
        if (name === null || own.has(name)) continue;
        const [module, bare = name] = name.includes('\\') ? name.split('\\') : [];
        const home = Object.entries(TABLE).find(([one, known]) => (module ?? one) === one && bare in known);
        assert.ok(home, `line ${line}: ${name} is not known`);
        const known = [...(home[1][bare] ?? '').split(' '), ...COMMON];
        for (const parameter of parameters) {
          looked += 1;
          assert.ok(known.includes(parameter), `line ${line}: ${name} has no -${parameter}`);
        }
      }
    assert.ok(looked > 60);
  });
});
