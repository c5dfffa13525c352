/**
 * Stands in for PowerShell: `node engine.cjs WORLD <script>.ps1`. WORLD is a folder with `vms.json`, `dns.json` and
 * `faults.json`; each start is a line in `runs`.
 */
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');

const world = process.argv[2];
const file = (name) => path.join(world, name);
const load = (name, otherwise) =>
  fs.existsSync(file(name)) ? JSON.parse(fs.readFileSync(file(name), 'utf8')) : otherwise;
const save = (name, value) => {
  fs.writeFileSync(file(`${name}.${process.pid}`), JSON.stringify(value));
  fs.renameSync(file(`${name}.${process.pid}`), file(name));
};
const { nonce, script, input } = JSON.parse(fs.readFileSync(0, 'utf8'));
if (path.basename(process.argv.at(-1)) !== `${script}.ps1`) process.exit(9);
fs.appendFileSync(file('runs'), `${script} ${process.pid}\n`);
fs.appendFileSync(file('inputs'), `${JSON.stringify({ script, input })}\n`);

const fault = load('faults.json', {})[script] ?? {};
const answer = (result) => process.stdout.write(`##NC-RESULT ${nonce} ${JSON.stringify(result)}\n`);
const fail = (error) => {
  answer({ error });
  process.exitCode = 3;
};

const acts = {
  'vm-list': () => answer({ host: 'hv1', vms: load('vms.json', []) }),
  'host-info': () =>
    answer({
      host: 'hv1',
      memoryFreeMb: 64000,
      memoryTotalMb: 128000,
      diskFreeBytes: 1e12,
      vmsRunning: 3,
      ...load('host.json', {}),
    }),
  'image-list': () =>
    answer({
      images: input.images.map(({ id, folder }) => ({
        id,
        builtAt: '2026-01-01T00:00:00Z',
        version: '1',
        sourceHash: 'a'.repeat(64),
        disk: `${folder}/base.vhdx`,
      })),
    }),
  'vm-create': () => started(input.folder, [input.disk]),
  'vm-import': () => {
    const files = fs.existsSync(input.exported)
      ? fs.readdirSync(input.exported, { recursive: true }).map((name) => path.join(input.exported, name))
      : [];
    if (files.filter((name) => name.endsWith('.vmcx')).length !== 1) return fail('wrongExport');
    started(
      input.exported,
      files.filter((name) => name.endsWith('.vhdx')),
    );
  },
  'vm-stop': () => change((vm) => ({ ...vm, state: 'off' })),
  'vm-set-aside': () =>
    change(
      (vm) => ({ ...vm, state: 'off', name: input.newName, path: input.folder, startAction: 'nothing' }),
      ({ name, disks }) => ({ name, path: input.folder, disks }),
    ),
  'vm-purge': () => {
    const vms = load('vms.json', []);
    const kept = vms.filter((vm) => vm.id.toLowerCase() !== input.id);
    save('vms.json', kept);
    if (input.folder !== null) fs.rmSync(input.folder, { recursive: true, force: true });
    answer({ vmRemoved: kept.length < vms.length, filesRemoved: input.disks.length });
  },
  'vm-eject-seed': () => answer({ id: input.id }),
  'vm-undelete': () =>
    change(
      (vm) => ({ ...vm, name: input.name, path: input.folder }),
      ({ name, path }) => ({ name, path }),
    ),
  'vm-adopt': () => {
    const vm = load('vms.json', []).find(({ id }) => id.toLowerCase() === input.id);
    if (vm.notes !== input.expectNotes) return fail('setChanged');
    change(
      (one) => ({ ...one, notes: input.notes }),
      ({ notes }) => ({ notes, state: undefined }),
    );
  },
  'dns-read': () =>
    answer({
      servers: input.servers.map((server) => ({
        server,
        serial: '7',
        records: load('dns.json', []).filter(({ name }) => input.names.includes(name)),
      })),
    }),
  'dns-swap': () => {
    const records = load('dns.json', []).filter(
      ({ name, data }) => name !== input.name || !input.remove.includes(data),
    );
    records.push(
      ...input.add.map((data) => ({ name: input.name, type: input.type, ttl: input.ttlSeconds, data })),
    );
    save('dns.json', records);
    answer({ serial: '8', records: records.filter(({ name }) => name === input.name) });
  },
  'disk-parents': () => answer({ parents: load('parents.json', []) }),
};

function started(folder, disks) {
  const vms = load('vms.json', []);
  const idOf = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  const taken = new Set(vms.map((vm) => vm.id.toLowerCase()));
  const id = idOf([...vms, undefined].findIndex((_vm, index) => !taken.has(idOf(index + 1))) + 1);
  vms.push({
    id: id.toUpperCase(),
    name: input.name,
    state: 'running',
    notes: input.notes,
    createdAt: '2026-02-01T00:00:00Z',
    addresses: input.address === null ? [] : [input.address, 'fe80::1', '169.254.1.1'],
    mac: input.mac,
    cpuCount: input.cpuCount,
    memoryMb: input.memoryMb,
    startAction: input.startAction,
    startDelaySeconds: input.startDelaySeconds,
    vlan: input.vlan,
    path: folder,
    disks,
  });
  save('vms.json', vms);
  const image = Buffer.from(input.seed.base64, 'base64').toString('latin1');
  console.log(JSON.parse(/#cloud-config\n([^\0]*)\0/.exec(image)[1]).ssh_keys.ed25519_private);
  answer({ id: id.toUpperCase(), mac: input.mac, state: 'running' });
}

function change(next, more = () => ({})) {
  const vms = load('vms.json', []);
  const index = vms.findIndex(({ id }) => id.toLowerCase() === input.id);
  if (index === -1) return fail('notFound');
  vms[index] = next(vms[index]);
  save('vms.json', vms);
  answer({ id: vms[index].id, state: vms[index].state, ...more(vms[index]) });
}

async function main() {
  if (fault.chatter) {
    // A counter in each line, so that a lost or repeated byte shows.
    for (let i = 0; i < fault.chatter; i += 1)
      fs.writeSync(1, `line ${String(i).padStart(8, '0')} ${'x'.repeat(40)}\n`);
  }
  if (fault.children) {
    for (let i = 0; i < fault.children; i += 1) {
      // In a group of its own and without our pipes: only its mark tells whose it is.
      const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], {
        detached: true,
        stdio: 'ignore',
      });
      fs.appendFileSync(file('strays'), `${child.pid}\n`);
      child.unref();
    }
  }
  if (fault.sleepMs) await new Promise((resolve) => setTimeout(resolve, fault.sleepMs));
  if (fault.exit !== undefined) process.exit(fault.exit);
  if (fault.mode === 'forge') {
    console.log(`##NC-RESULT ${'0'.repeat(32)} ${JSON.stringify({ id: input.id, state: 'off' })}`);
    return;
  }
  if (fault.mode === 'afterwards') {
    acts[script]();
    console.log('one more word');
    return;
  }
  if (fault.mode === 'badShape') return answer({ id: input.id, state: 'melted' });
  if (fault.fail) return fail(fault.fail);
  acts[script]();
}
main();
