/**
 * Values that would do harm where a script took them for text of its own: each goes through the scripts as data. The
 * bridge's schemas refuse most of them before; here they come through all the same.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from '../../agent-bridge/jobs/outcome.ts';
import { ADDRESSES, below, DNS_NAMES, NAMES, WINDOWS_PATHS } from './bad-values.ts';
import { creation, ID, importing } from './creation.ts';
import { runBatch } from './engine.ts';
import { hostOnDisk, runCases, scriptsDir } from './host.ts';
import type { Case, HostOnDisk } from './host.ts';
import { onEngineProgram, onPowerShell } from './suite.ts';

interface Given {
  what: string;
  script: Case['script'];
  /** Which field bears the value; the error must name it when the script itself refuses. */
  input(host: HostOnDisk, value: string): object;
}

const TEXTS: Given[] = [
  { what: 'name', script: 'vm-create', input: (host, name) => creation(host, { name }) },
  {
    what: 'newName',
    script: 'vm-set-aside',
    input: (host, newName) => ({ id: ID, newName, folder: join(host.vmRoot, 'aside'), gracefulSeconds: 0 }),
  },
  { what: 'notes', script: 'vm-adopt', input: (_host, notes) => ({ id: ID, expectNotes: '', notes }) },
];
/** The same parameter as others in its script: a few values are enough. */
const MORE_TEXTS: Given[] = [
  { what: 'switchName', script: 'vm-create', input: (host, switchName) => creation(host, { switchName }) },
  { what: 'secureBoot', script: 'vm-create', input: (host, secureBoot) => creation(host, { secureBoot }) },
  { what: 'switchName', script: 'vm-import', input: (host, switchName) => importing(host, { switchName }) },
  { what: 'mac', script: 'vm-create', input: (host, mac) => creation(host, { mac }) },
  {
    what: 'name',
    script: 'vm-undelete',
    input: (host, name) => ({ id: ID, name, folder: join(host.vmRoot, 'n1') }),
  },
  { what: 'id', script: 'vm-stop', input: (_host, id) => ({ id, gracefulSeconds: 0 }) },
];
const PATHS: Given[] = [
  {
    what: 'folder',
    script: 'vm-purge',
    input: (host, folder) => ({ id: null, folder, disks: [], roots: [host.vmRoot] }),
  },
  { what: 'path', script: 'vm-eject-seed', input: (host, path) => ({ id: ID, path, roots: [host.vmRoot] }) },
  { what: 'disk', script: 'vm-create', input: (host, disk) => creation(host, { disk }) },
  { what: 'exported', script: 'vm-import', input: (host, exported) => importing(host, { exported }) },
  {
    what: 'seed.path',
    script: 'vm-create',
    input: (host, path) => creation(host, { seed: { path, base64: '' } }),
  },
];
/** These have no root to be held against: what is no absolute path is refused, and the bridge makes the others. */
const FREE_PATHS: Given[] = [
  {
    what: 'folder',
    script: 'vm-set-aside',
    input: (_host, folder) => ({ id: ID, newName: 'n1', folder, gracefulSeconds: 0 }),
  },
  { what: 'folder', script: 'vm-undelete', input: (_host, folder) => ({ id: ID, name: 'n1', folder }) },
  { what: 'folder', script: 'vm-create', input: (host, folder) => creation(host, { folder }) },
  { what: 'folder', script: 'image-list', input: (_host, folder) => ({ images: [{ id: 'x', folder }] }) },
  { what: 'vmRoot', script: 'host-info', input: (_host, vmRoot) => ({ vmRoot }) },
];
const notAbsolute = (host: HostOnDisk) =>
  below(host).filter((path) => !path.startsWith('/') || /[*?\0:]|\.\.|NUL|con\./.test(path));

const armed = (value: string, canary: string) =>
  value.replaceAll('CANARY', `[System.IO.File]::WriteAllText('${canary}','')`);

interface Tried {
  given: Given;
  value: string;
  host: HostOnDisk;
  outcome: Outcome & { stderr: string };
}

onPowerShell('Values of the bad-input list in the real engine', (engine) => {
  const canaries = mkdtempSync(join(tmpdir(), 'canaries-'));
  const canary = join(canaries, 'canary');
  const hosts: HostOnDisk[] = [];
  const tried: Tried[] = [];
  const dns: Tried[] = [];
  const lists: (Outcome & { stderr: string })[] = [];

  const prepared = (): HostOnDisk => {
    const host = hostOnDisk(engine());
    hosts.push(host);
    writeFileSync(join(host.imageRoot, 'golden.vhdx'), 'golden');
    mkdirSync(`${host.vmRoot}-beside`);
    writeFileSync(join(`${host.vmRoot}-beside`, 'golden.vhdx'), 'golden');
    return host;
  };

  before(async () => {
    const cases: { case: Case; given: Given; value: string }[] = [];
    const add = (given: Given, values: (host: HostOnDisk) => string[]) => {
      // One host for a script's values: nothing that a bad value does may change what the next one finds.
      const count = values(prepared()).length;
      for (let index = 0; index < count; index += 1) {
        const host = prepared();
        const value = armed(values(host)[index]!, canary);
        if (given.script !== 'vm-create') host.addVm({ id: ID, name: 'n1', path: join(host.vmRoot, 'n1') });
        cases.push({
          case: { host, script: given.script, input: given.input(host, value) as never },
          given,
          value,
        });
      }
    };
    for (const given of TEXTS)
      add(given, () =>
        given.script === 'vm-set-aside' ? NAMES.filter((_, index) => index % 2 === 0) : NAMES,
      );
    for (const given of MORE_TEXTS)
      add(given, () => ['x$(CANARY)', 'x"; CANARY; "', "x'; CANARY; '", '*', '', '-Force']);
    for (const given of PATHS)
      add(given, (host) => below(host).filter((_, place) => given.what !== 'seed.path' || place % 3 === 0));
    for (const [index, given] of FREE_PATHS.entries())
      add(given, (host) => notAbsolute(host).filter((_, place) => place % 2 === index % 2));

    const zoned = prepared();
    zoned.change(
      (world) =>
        (world.dns = {
          dc1: {
            zones: {
              'example.test': {
                serial: 1,
                records: [{ name: 'cp-prod', type: 'A', ttl: 60, data: '10.0.0.9' }],
              },
            },
          },
        }),
    );
    const swap = {
      server: 'dc1',
      zone: 'example.test',
      name: 'cp-prod',
      type: 'A',
      expect: ['10.0.0.9'],
      add: [] as string[],
      remove: [] as string[],
      ttlSeconds: 60,
    };
    const dnsCases = [
      ...DNS_NAMES.map((name) => ({ ...swap, name, expect: ['10.9.9.9'] })),
      ...DNS_NAMES.map((server) => ({ ...swap, server })),
      ...DNS_NAMES.map((zone) => ({ ...swap, zone })),
      ...ADDRESSES.map((address) => ({ ...swap, expect: [address] })),
      ...ADDRESSES.map((address) => ({ ...swap, remove: [address] })),
    ].map(
      (input) =>
        JSON.parse(
          JSON.stringify(input).replaceAll('CANARY', `[System.IO.File]::WriteAllText('${canary}','')`),
        ) as object,
    );

    const many = prepared();
    many.addVm({ id: ID, name: 'n1' });
    const listed: Case[] = [
      {
        host: many,
        script: 'disk-parents',
        input: { disks: below(many).concat(NAMES.map((name) => armed(name, canary))) },
      },
      {
        host: zoned,
        script: 'dns-read',
        input: { servers: ['dc1'], zone: 'example.test', names: NAMES.map((name) => armed(name, canary)) },
      },
      {
        host: many,
        script: 'vm-purge',
        input: {
          id: ID,
          folder: null,
          disks: below(many).concat(NAMES.map((name) => armed(name, canary))),
          roots: [many.vmRoot],
        },
      },
    ];
    const outcomes = await runCases(engine(), [
      ...cases.map((one) => one.case),
      ...dnsCases.map((input): Case => ({ host: zoned, script: 'dns-swap', input: input as never })),
      ...listed,
    ]);
    for (const [index, { case: one, given, value }] of cases.entries())
      tried.push({ given, value, host: one.host, outcome: outcomes[index]! });
    for (const [index, input] of dnsCases.entries()) {
      dns.push({
        given: TEXTS[0]!,
        value: JSON.stringify(input),
        host: zoned,
        outcome: outcomes[cases.length + index]!,
      });
    }
    lists.push(...outcomes.slice(cases.length + dnsCases.length));
  });
  after(() => {
    for (const host of hosts) host.end();
    rmSync(canaries, { recursive: true, force: true });
  });

  const named = ({ given, value }: Tried) =>
    `${given.script} ${given.what} ${JSON.stringify(value).slice(0, 80)}`;
  const of = (list: Given[]) => tried.filter(({ given }) => list.includes(given));

  it('evaluates none of them', () => {
    assert.ok(tried.length > 250, String(tried.length));
    assert.deepEqual(readdirSync(canaries), []);
  });

  it('changes no file that is outside the roots', () => {
    for (const one of tried) {
      const { host } = one;
      assert.equal(readFileSync(join(host.imageRoot, 'golden.vhdx'), 'utf8'), 'golden', named(one));
      assert.equal(readFileSync(join(`${host.vmRoot}-beside`, 'golden.vhdx'), 'utf8'), 'golden', named(one));
      const outside = host.files().filter((file) => !file.startsWith(`${host.vmRoot}/`));
      const known = ['images/golden.vhdx', 'images/ubuntu/1.vhdx', 'vms-beside/golden.vhdx'].map((name) =>
        join(host.dir, name),
      );
      assert.deepEqual(
        outside.filter((file) => !known.includes(file)),
        [],
        named(one),
      );
    }
  });

  it('refuses a name that could be a path, naming the field, before anything is made', () => {
    for (const one of of([TEXTS[0]!])) {
      if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(one.value)) continue;
      assert.equal(one.outcome.ok ? 'ok' : one.outcome.error, 'scriptFailed', named(one));
      assert.match(one.outcome.stderr, /^name: /, named(one));
      assert.deepEqual(one.host.calls(), [], named(one));
    }
  });

  it('keeps a text as it came where it is only a text', () => {
    for (const one of of([TEXTS[1]!, TEXTS[2]!])) {
      const vm = one.host.world().vms[0]!;
      // A surrogate without its other half has no bytes: it is replaced on every way.
      const expected = one.value.replaceAll('\ud800', '\ufffd');
      if (one.outcome.ok) assert.equal(one.given.what === 'notes' ? vm.notes : vm.name, expected, named(one));
      else {
        assert.match(one.outcome.stderr, /^newName: /, named(one));
        assert.equal(vm.name, 'n1', named(one));
      }
    }
    const notes = of([TEXTS[2]!]);
    assert.deepEqual(notes.filter(({ outcome }) => !outcome.ok).map(named), []);
  });

  it('refuses each path that is no path below a root, naming the field', () => {
    for (const one of of(PATHS)) {
      if (one.given.what === 'folder' && /^\/vms\/?$/.test(one.value.replace(one.host.dir, ''))) continue;
      assert.equal(
        one.outcome.ok ? 'ok' : one.outcome.error,
        one.value === '' && one.given.script === 'vm-purge' ? 'ok' : 'scriptFailed',
        named(one),
      );
      if (!one.outcome.ok)
        assert.ok(
          one.outcome.stderr.startsWith(`${one.given.what}: `),
          `${named(one)}: ${one.outcome.stderr}`,
        );
      assert.deepEqual(
        one.host.calls().filter((call) => !call.startsWith('Get-')),
        [],
        named(one),
      );
    }
  });

  it('refuses each path that is not absolute where no root is given, naming the field', () => {
    for (const one of of(FREE_PATHS)) {
      assert.equal(one.outcome.ok ? 'ok' : one.outcome.error, 'scriptFailed', named(one));
      assert.ok(one.outcome.stderr.startsWith(`${one.given.what}: `), `${named(one)}: ${one.outcome.stderr}`);
      assert.deepEqual(one.host.calls(), [], named(one));
    }
  });

  it('goes through whole lists of them', () => {
    const [, read, purged] = lists;
    assert.ok(read?.ok, read?.stderr);
    assert.ok(purged?.ok, purged?.stderr);
    assert.deepEqual(purged.result, { vmRemoved: true, filesRemoved: 1 }, 'the one disk of the VM itself');
    assert.ok((purged.stderr.match(/kept, not below a root/g) ?? []).length > 40);
  });

  it('changes no DNS record that was not expected', () => {
    const last = dns.at(-1)!.host.world().dns['dc1']!.zones['example.test']!;
    assert.deepEqual(last.records, [{ name: 'cp-prod', type: 'A', ttl: 60, data: '10.0.0.9' }]);
    assert.deepEqual(
      dns.filter(({ outcome }) => outcome.ok).map(({ value }) => value),
      [],
    );
  });
});

onEngineProgram('The rule for paths', (engine) => {
  it('takes an absolute path of Windows in one spelling, and no device, stream, wildcard or way up', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'paths-'));
    const file = join(folder, 'rule.ps1');
    writeFileSync(
      file,
      `. '${join(scriptsDir, 'common.ps1')}'\nforeach ($path in (Read-NcInput).paths) { [Console]::Out.WriteLine([string] (Test-NcPath $path '\\')) }\n`,
    );
    try {
      const paths = [...WINDOWS_PATHS.yes, ...WINDOWS_PATHS.no];
      const stdin = JSON.stringify({ v: 1, nonce: 'n', input: { paths } });
      const [result] = await runBatch(engine(), [{ file, stdin, env: {} }]);
      const said = result!.stdout.toString('utf8').trim().split('\n');
      assert.deepEqual(
        paths.map((path, index) => [path, said[index]]),
        paths.map((path, index) => [path, index < WINDOWS_PATHS.yes.length ? 'True' : 'False']),
        result!.stderr,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
