import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PowerShell as NodePowerShell } from 'node-powershell';
import { engineEnv, runBatch, SCRIPT_ARGS } from './engine.ts';
import { onEngineProgram, onPowerShell } from './suite.ts';

function scripts(texts: Record<string, string>): { path(name: string): string; end(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'scripts-'));
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
  return { path: (name) => join(folder, name), end: () => rmSync(folder, { recursive: true, force: true }) };
}

onPowerShell('An engine that runs scripts as pwsh does', (engine) => {
  const run = (file: string, stdin = '') =>
    spawnSync(engine().file, [...SCRIPT_ARGS, file], { input: stdin, encoding: 'utf8', env: engineEnv({}) });

  it('ends with the script’s own exit code, and with 64 when there is no such script', () => {
    const made = scripts({ 'nine.ps1': "[Console]::Out.WriteLine('out'); exit 9" });
    try {
      const nine = run(made.path('nine.ps1'));
      assert.deepEqual([nine.status, nine.stdout.trim()], [9, 'out']);
      assert.equal(run(made.path('absent.ps1')).status, 64);
    } finally {
      made.end();
    }
  });

  it('ends with 1 after an uncaught throw, and gives stdin to the script byte by byte', () => {
    const made = scripts({
      'throw.ps1': "throw 'broken'",
      'bytes.ps1':
        '$b = New-Object System.IO.MemoryStream; [Console]::OpenStandardInput().CopyTo($b); [Console]::Out.WriteLine([Convert]::ToBase64String($b.ToArray()))',
    });
    try {
      const thrown = run(made.path('throw.ps1'));
      assert.deepEqual([thrown.status, /broken/.test(thrown.stderr)], [1, true]);
      const text = '\uFEFFä€\u0000\r\n';
      assert.equal(run(made.path('bytes.ps1'), text).stdout.trim(), Buffer.from(text).toString('base64'));
    } finally {
      made.end();
    }
  });

  it('is driven by node-powershell over stdin, errors included', async () => {
    const before = process.env['NODE_POWERSHELL'];
    process.env['NODE_POWERSHELL'] = engine().file;
    const shell = new NodePowerShell({ spawnOptions: { env: engineEnv({}) } });
    try {
      assert.equal(
        (await shell.invoke("[Console]::Out.WriteLine('one'); 1 + 1")).raw.replace(/\s+/g, ' '),
        'one 2',
      );
      await shell.invoke('$kept = 7');
      assert.equal((await shell.invoke('$kept')).raw, '7');
      await assert.rejects(shell.invoke("throw 'no'"), /no/);
    } finally {
      await shell.dispose();
      if (before === undefined) delete process.env['NODE_POWERSHELL'];
      else process.env['NODE_POWERSHELL'] = before;
    }
  });
});

const JSON_CASES: [script: string, seven: string, windows51: string][] = [
  ['$j.date.GetType().Name', 'DateTime', 'String'],
  ['ConvertTo-Json -Compress -InputObject @(, 1)', '[1]', '[1]'],
  ['@(, 1) | ConvertTo-Json -Compress', '1', '1'],
  ['ConvertTo-Json -Compress -InputObject $j.list', '["a"]', '["a"]'],
  [
    'ConvertTo-Json -Compress -Depth 1 -InputObject @{ a = @{ b = @{ c = 1 } } } -WarningAction SilentlyContinue',
    '{"a":{"b":"System.Collections.Hashtable"}}',
    '{"a":{"b":"System.Collections.Hashtable"}}',
  ],
  ["ConvertTo-Json -Compress -InputObject 'a<b'", '"a<b"', '"a\\u003cb"'],
  [
    'ConvertTo-Json -Compress -InputObject ([pscustomobject] @{ s = [System.DayOfWeek]::Monday })',
    '{"s":1}',
    '{"s":1}',
  ],
  ['try { ConvertFrom-Json -InputObject \'{"a":1,"A":2}\' } catch { \'refused\' }', 'refused', 'refused'],
  ["try { ConvertFrom-Json -InputObject '{}' -AsHashtable } catch { 'refused' }", 'refused', 'refused'],
  ["try { Get-Unique } catch { 'refused' }", 'refused', 'refused'],
];

onEngineProgram('The test program', (engine) => {
  it('knows the parameters that 5.1 and 7 share, in PowerShell’s own ways, and refuses the rest', async () => {
    const head =
      '$ErrorActionPreference = "Stop"; $j = ConvertFrom-Json -InputObject \'{"date":"2026-01-01T00:00:00Z","list":["a"]}\'\n';
    const made = scripts(
      Object.fromEntries(JSON_CASES.map(([script], index) => [`${index}.ps1`, head + script])),
    );
    try {
      const requests = JSON_CASES.map((_, index) => ({
        file: made.path(`${index}.ps1`),
        stdin: '',
        env: {},
      }));
      const old = requests.map((request) => ({ ...request, env: { NODE_CYCLE_TEST_JSON: '5.1' } }));
      const results = await runBatch(engine(), [...requests, ...old]);
      const said = results.map(({ stdout }) => stdout.toString('utf8').trim());
      assert.deepEqual(
        said.slice(0, JSON_CASES.length),
        JSON_CASES.map(([, seven]) => seven),
      );
      assert.deepEqual(
        said.slice(JSON_CASES.length),
        JSON_CASES.map(([, , windows51]) => windows51),
      );
    } finally {
      made.end();
    }
  });
});
