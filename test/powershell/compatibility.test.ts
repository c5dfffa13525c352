/**
 * Windows PowerShell 5.1 parses a whole file before it runs any of it, and no machine here has it: so every command,
 * parameter and piece of syntax is looked up in what both editions and all server versions have.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { scriptsDir } from './host.ts';
import { generated } from './modules/generate.ts';
import { onEngineProgram } from './suite.ts';

interface Tree {
  file: string;
  errors: string[];
  commands: {
    name: string | null;
    line: number;
    operator: string;
    parameters: string[];
    splatted: boolean;
    text: string;
  }[];
  functions: string[];
  types: string[];
  members: string[];
  nodes: string[];
  tokens: string[];
  background: boolean;
  nullConditional: boolean;
  clean: boolean;
}

/** Cmdlets and the parameters that 5.1 and 7, or Windows Server 2016 to 2025, all have: made by modules/generate.ts. */
const EVERYWHERE = JSON.parse(readFileSync(join(import.meta.dirname, 'everywhere.json'), 'utf8')) as Record<
  string,
  Record<string, string>
>;
const CORE = [
  'Microsoft.PowerShell.Core',
  'Microsoft.PowerShell.Utility',
  'Microsoft.PowerShell.Management',
  'Microsoft.PowerShell.Security',
];
const COMMON = [
  'ErrorAction',
  'ErrorVariable',
  'WarningAction',
  'Verbose',
  'OutVariable',
  'WhatIf',
  'Confirm',
];
const OWN_CALL = /^& (\$(adding|body)\b|\(Join-Path \$PSScriptRoot '[a-z-]+\.ps1'\)$)/;
/** What would run a text as code, or load code. */
const NEVER = [
  'Invoke-Expression',
  'Add-Type',
  'Start-Process',
  'Invoke-Command',
  'New-PSSession',
  'Start-Job',
  'Invoke-WebRequest',
  'Invoke-RestMethod',
];
/** A cmdlet of these takes wildcards in -Path. */
const LITERAL = new Set([
  'Test-Path',
  'Get-Item',
  'Get-ChildItem',
  'Copy-Item',
  'Move-Item',
  'Remove-Item',
  'Get-Content',
  'Set-Content',
  'Set-Item',
  'Rename-Item',
  'Push-Location',
  'Set-Location',
  'Get-FileHash',
  'Get-Acl',
]);
const NEWER_NODES = ['TernaryExpressionAst', 'PipelineChainAst', 'UsingStatementAst'];
const NEWER_TOKENS = [
  'QuestionQuestion',
  'QuestionQuestionEquals',
  'QuestionDot',
  'QuestionLBracket',
  'AndAnd',
  'OrOr',
  'QuestionMark',
  'Clean',
];
/** .NET that 5.1's framework lacks, where the scripts could be tempted. */
const NEWER_MEMBERS =
  /Path\]::(IsPathFullyQualified|GetRelativePath|Join)$|Convert\]::(ToHexString|FromHexString)$|HashData$|File\]::(ResolveLinkTarget)/;

function objections(tree: Tree, own: ReadonlySet<string>): string[] {
  const found = [...tree.errors];
  for (const node of tree.nodes) if (NEWER_NODES.includes(node)) found.push(`5.1 has no ${node}`);
  for (const token of tree.tokens) if (NEWER_TOKENS.includes(token)) found.push(`5.1 has no ${token}`);
  for (const member of tree.members) if (NEWER_MEMBERS.test(member)) found.push(`5.1 has no ${member}`);
  if (tree.background) found.push('5.1 has no & at the end');
  if (tree.nullConditional) found.push('5.1 has no ?.');
  if (tree.clean) found.push('5.1 has no clean block');
  for (const { name, line, operator, parameters, splatted, text } of tree.commands) {
    const say = (what: string) => found.push(`line ${line}: ${name ?? text.split('\n')[0]!}: ${what}`);
    if (name === null) {
      if (operator === 'Dot' && !/^\. \(Join-Path \$PSScriptRoot '[a-z-]+\.ps1'\)$/.test(text))
        say('only our own files are read in');
      if (operator !== 'Dot' && !OWN_CALL.test(text)) say('only our own script blocks and files are called');
      continue;
    }
    if (own.has(name)) continue;
    if (splatted) say('a splatted parameter cannot be looked up');
    const [module, bare] = name.includes('\\') ? (name.split('\\') as [string, string]) : [undefined, name];
    const home = module ?? CORE.find((one) => bare in (EVERYWHERE[one] ?? {}));
    const known = home === undefined ? undefined : EVERYWHERE[home]?.[bare];
    if (NEVER.includes(bare)) say('is not for these scripts');
    if (known === undefined) {
      say('no cmdlet of both editions and all versions, or not named with its module');
      continue;
    }
    for (const parameter of parameters) {
      if (![...known.split(' '), ...COMMON].includes(parameter)) say(`-${parameter} is not everywhere`);
    }
    if (LITERAL.has(bare) && !parameters.includes('LiteralPath') && !/^Get-ChildItem Env:$/.test(text))
      say('without -LiteralPath');
    if (module === 'DnsServer' && !parameters.includes('ErrorAction'))
      say('without -ErrorAction: its functions do not see the preference');
    if (parameters.includes('ErrorAction') && !/-ErrorAction Stop\b/.test(text))
      say('an error that is passed over');
  }
  return found;
}

onEngineProgram('The syntax tree of the bridge’s scripts', (engine) => {
  const parse = (files: string[]): Tree[] => {
    const { status, stdout, stderr } = spawnSync(engine().file, ['--parse', ...files], {
      encoding: 'utf8',
      maxBuffer: 64 * 2 ** 20,
    });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as Tree[];
  };
  const shipped = readdirSync(scriptsDir)
    .filter((name) => name.endsWith('.ps1'))
    .map((name) => join(scriptsDir, name));

  it('has only what Windows PowerShell 5.1, PowerShell 7 and Windows Server 2016 to 2025 all have', () => {
    const trees = parse(shipped);
    const own = new Set(trees.flatMap(({ functions }) => functions));
    const found = trees.flatMap((tree) =>
      objections(tree, own).map((text) => `${basename(tree.file)}: ${text}`),
    );
    assert.deepEqual(found, []);
    assert.ok(trees.flatMap(({ commands }) => commands).length > 100);
  });

  it('would show each thing that one of them lacks', () => {
    const folder = mkdtempSync(join(tmpdir(), 'compatibility-'));
    const wrong = {
      ternary: '$x = $true ? 1 : 2',
      coalesce: '$x = $null ?? 1',
      chain: 'Get-Date && Get-Date',
      conditional: '${x}?.Length',
      background: 'Get-Date &',
      parallel: '1 | ForEach-Object -Parallel { 1 }',
      hashtable: "ConvertFrom-Json -InputObject '{}' -AsHashtable",
      unknown: 'Get-Nothing',
      unqualified: 'Get-VM',
      only2025: 'Hyper-V\\New-VM -Name x -GuestStateIsolationType TrustedLaunch',
      path: "Remove-Item -Path 'x*'",
      passedOver: 'Hyper-V\\Get-VM -ErrorAction SilentlyContinue',
      dns: 'DnsServer\\Get-DnsServerResourceRecord -ZoneName x',
      evaluated: "Invoke-Expression 'x'",
      splatted: '$a = @{}; Get-Date @a',
      framework: '[System.IO.Path]::GetRelativePath(1, 2)',
      broken: 'if (',
      program: '& $packer build',
    };
    try {
      for (const [name, text] of Object.entries(wrong)) writeFileSync(join(folder, `${name}.ps1`), text);
      const names = Object.keys(wrong);
      const trees = parse(names.map((name) => join(folder, `${name}.ps1`)));
      assert.deepEqual(
        names.filter((_, index) => objections(trees[index]!, new Set()).length === 0),
        [],
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('The bridge’s scripts', () => {
  it('are ASCII: 5.1 reads a file without a BOM in the code page of the machine', () => {
    for (const name of readdirSync(scriptsDir)) {
      const bytes = readFileSync(join(scriptsDir, name));
      assert.equal(
        bytes.findIndex((byte) => byte > 0x7e || (byte < 0x20 && byte !== 0x0a)),
        -1,
        name,
      );
    }
  });

  it('are checked against tables that are those of the published reference', () => {
    const schema = process.env['NODE_CYCLE_TASK_SCHEMA'];
    const folder = schema === undefined ? undefined : join(schema, '..');
    // The reference is not part of the repository; where it lies beside it, what was made from it is compared.
    if (folder === undefined || !existsSync(join(folder, 'windows-cmdlets.json'))) return;
    for (const [path, text] of generated(folder, join(import.meta.dirname, 'modules')))
      assert.equal(readFileSync(path, 'utf8'), text, path);
  });
});
