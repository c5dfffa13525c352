/**
 * The example's provisioning in a real guest: Packer and QEMU under the bridge's `image.build`, then the image booted
 * with the bridge's own seed. Needs root (debootstrap), packer, qemu-system-x86, qemu-utils, debootstrap, e2fsprogs,
 * and a way to Debian's archive. NODE_CYCLE_PROOF_BASE: a folder that keeps the base between runs.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeSshHostKey } from '../../../agent-bridge/host/ssh-host-key.ts';
import { seedImage, seedOf } from '../../../agent-bridge/host/seed.ts';
import { parsePolicy } from '../../../agent-bridge/server/policy.ts';
import { freePort } from '../../../lab/servers/proxy/child.ts';
import { random } from '../../../ports/random.ts';
import { key, rig } from '../../agent-bridge/support/rig.ts';
import type { Rig } from '../../agent-bridge/support/rig.ts';
import type { Proof } from '../proof.ts';

const EXAMPLE = join(import.meta.dirname, '..', '..', '..', 'examples', 'packer', 'ubuntu');
const PACKAGES = [
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'systemd-sysv', 'systemd-resolved', 'dbus', 'cloud-init'],
  ...['netplan.io', 'openssh-server', 'iproute2', 'sudo', 'ca-certificates', 'apt-utils', 'locales'],
];
/** QEMU's user network gives every guest this address, and reaches the host's side through the second. */
const GUEST = '10.0.2.15';
const GATEWAY = '10.0.2.2';
const NAMESERVER = '10.0.2.3';
const MAC = '52:54:00:12:34:56';
const BUILD_MS = 60 * 60_000;
const BOOT_MS = 20 * 60_000;
/** Two emulated processors have locked each other up when the kernel changed its clock on a busy machine. */
const CPUS = 1;
const APPEND = 'root=/dev/vda rw console=ttyS0 net.ifnames=0';

const run = (file: string, ...args: string[]) =>
  execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 });
const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');

interface Base {
  disk: string;
  kernel: string;
  initrd: string;
}

/** Debian with cloud-init on a disk without partitions; kernel and initrd beside it. */
function makeBase(dir: string): Base {
  const base = {
    disk: join(dir, 'base.qcow2'),
    kernel: join(dir, 'vmlinuz'),
    initrd: join(dir, 'initrd.img'),
  };
  if (existsSync(base.disk)) return base;
  mkdirSync(dir, { recursive: true });
  const root = join(dir, 'rootfs');
  // debootstrap does not resolve what these packages need; apt does.
  if (!existsSync(root)) {
    run('debootstrap', '--variant=minbase', 'bookworm', root, 'http://deb.debian.org/debian');
    copyFileSync('/etc/resolv.conf', join(root, 'etc', 'resolv.conf'));
    writeFileSync(join(root, 'usr', 'sbin', 'policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    const apt = (...args: string[]) =>
      run('chroot', root, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qy', ...args);
    apt('install', '--no-install-recommends', ...PACKAGES);
    apt('clean');
    rmSync(join(root, 'usr', 'sbin', 'policy-rc.d'));
    // Of a minimal system; cloud-init asks for one that Ubuntu's images have.
    writeFileSync(join(root, 'etc', 'cloud', 'cloud.cfg.d', '10_base.cfg'), 'locale: C.UTF-8\n');
  }
  for (const [pattern, to] of [
    ['vmlinuz-', base.kernel],
    ['initrd.img-', base.initrd],
  ] as const) {
    const name = readdirSync(join(root, 'boot')).find((one) => one.startsWith(pattern));
    assert.ok(name);
    copyFileSync(join(root, 'boot', name), to);
  }
  const raw = join(dir, 'base.raw');
  run('truncate', '-s', '4G', raw);
  run('mkfs.ext4', '-qF', '-d', root, raw);
  run('qemu-img', 'convert', '-O', 'qcow2', raw, base.disk);
  rmSync(raw);
  rmSync(root, { recursive: true });
  return base;
}

const user = (name: string) => `{{user \`${name}\`}}`;

/** The example with another builder: same scripts, same seed, same key. */
const template = () =>
  JSON.stringify(
    {
      variables: Object.fromEntries(
        ['vm_name', 'output_directory', 'base_path', 'base_checksum', 'seed_path', 'build_key_path']
          .concat('kernel', 'initrd')
          .map((name) => [name, '']),
      ),
      builders: [
        {
          ...{
            type: 'qemu',
            name: 'node',
            accelerator: 'tcg',
            headless: true,
            disable_vnc: true,
            display: 'none',
          },
          ...{
            iso_url: user('base_path'),
            iso_checksum: user('base_checksum'),
            disk_image: true,
            format: 'qcow2',
          },
          ...{ vm_name: `${user('vm_name')}.vhdx`, output_directory: user('output_directory') },
          ...{
            skip_compaction: true,
            memory: 1536,
            cpus: CPUS,
            boot_wait: '0s',
            net_device: 'virtio-net-pci',
          },
          ...{ ssh_username: 'packer', ssh_private_key_file: user('build_key_path'), ssh_timeout: '20m' },
          shutdown_command:
            "sudo sh -c 'userdel -rf packer; rm -f /etc/sudoers.d/*packer* /etc/sudoers.d/90-cloud-init-users; shutdown -P now'",
          shutdown_timeout: '5m',
          qemuargs: [
            ['-kernel', user('kernel')],
            ['-initrd', user('initrd')],
            ['-append', APPEND],
            ['-cpu', 'max'],
            ['-serial', 'file:serial.log'],
            ['-drive', `file=${user('output_directory')}/${user('vm_name')}.vhdx,if=virtio,format=qcow2`],
            ['-drive', `file=${user('seed_path')},if=virtio,format=raw,readonly=on`],
          ],
        },
      ],
      provisioners: [
        {
          type: 'shell',
          execute_command: "{{ .Vars }} sudo -E bash '{{ .Path }}'",
          environment_vars: ['DOCKER_VERSION=distribution'],
          scripts: ['updates', 'docker', 'guest', 'clean'].map(
            (name) => `{{template_dir}}/scripts/${name}.sh`,
          ),
        },
      ],
    },
    undefined,
    2,
  );

/** The installer's `user-data` of the example without the installer. */
const BUILD_USER = `#cloud-config
users:
  - name: packer
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys: ["@BUILD_PUBLIC_KEY@"]
`;

async function buildImage(host: Rig, base: Base): Promise<{ disk: string; log: string[]; error?: string }> {
  const folder = join(host.dir, 'templates');
  const put = (name: string, text: string | Uint8Array) => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };
  const file = put('node.json', template());
  const sources = [
    put('seed/meta-data', readFileSync(join(EXAMPLE, 'seed', 'meta-data'))),
    put('seed/user-data', BUILD_USER),
    ...['updates', 'docker', 'guest', 'clean'].map((name) =>
      put(`scripts/${name}.sh`, readFileSync(join(EXAMPLE, 'scripts', `${name}.sh`))),
    ),
  ];
  const image = {
    ...{ template: file, sources, user: 'rke', authorizedKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEX'] },
    pin: sha256([file, ...sources].map((path) => sha256(readFileSync(path))).join('\n')),
    base: { file: base.disk, sha256: sha256(readFileSync(base.disk)) },
    variables: { kernel: base.kernel, initrd: base.initrd },
  };
  const config = join(host.dir, 'bridge.yaml');
  writeFileSync(
    config,
    readFileSync(config, 'utf8')
      .replace(/^ {2}ubuntu: .*$/m, `  ubuntu: ${JSON.stringify(image)}`)
      .replace(/^packer: .*$/m, `packer: ${run('which', 'packer').trim()}`),
  );
  await host.start();
  const client = host.client();
  const limit = { deadlineMs: BUILD_MS };
  const log: string[] = [];
  const ended = await client.waitFor(await client.submit('image.build', { image: 'ubuntu' }, key(1), limit), {
    ...limit,
    onLog: (line) => {
      log.push(line);
      if (process.env['NODE_CYCLE_PROOF_LOG'] !== undefined) process.stderr.write(`${line}\n`);
    },
  });
  const disk = join(
    host.dir,
    'images',
    'ubuntu',
    `${ended.kind === 'done' ? ended.result.version : ''}.vhdx`,
  );
  return ended.kind === 'done' ? { disk, log } : { disk, log, error: ended.error };
}

interface Guest {
  bootMs: number;
  said: Record<string, string>;
}

/** What a new node is asked over SSH, with the host key that the bridge made and no other. */
const QUESTIONS = {
  name: 'hostname',
  address: 'ip -4 -o addr show scope global | grep -o "inet [0-9.]*" | head -n1',
  docker: 'docker --version',
  dockerRuns: 'sudo systemctl start docker; systemctl is-active docker',
  pending: 'apt-get -qs dist-upgrade | grep -c "^Inst" || true',
  packer: 'id packer 2>&1 || true',
  swap: 'cat /proc/swaps | wc -l',
  hostKeys: 'sudo cat /etc/ssh/ssh_host_ed25519_key.pub | cut -d" " -f1,2',
  seed: 'sudo cloud-init schema --system 2>&1 | tail -n1',
  cloudInit: 'cloud-init status --wait | tail -n1',
};

async function bootWithSeed(disk: string, base: Base, dir: string): Promise<Guest> {
  run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'proof', '-f', join(dir, 'login'));
  const hostKey = makeSshHostKey(random);
  const policy = parsePolicy(
    `version: 1
listen: { port: 0 }
engine: { file: /x }
scriptsDir: /x
dataDir: /x
vmRoot: /x
imageRoot: /x
networks: { lan: { switch: x, subnet: 10.0.2.0/24, gateway: ${GATEWAY}, dns: [${NAMESERVER}] } }
sizes: {}
images: { ubuntu: { template: /x/t.json, user: rke, authorizedKeys: ['${readFileSync(join(dir, 'login.pub'), 'utf8').trim()}'] } }
`,
    'bridge.yaml',
  );
  const { lan: network } = policy.networks;
  const { ubuntu: image } = policy.images;
  assert.ok(network && image);
  const jobId = '00000000-0000-4000-8000-000000000001';
  const seed = seedOf({ jobId, node: 'prod-n7', mac: MAC, address: GUEST, network, image, hostKey });
  writeFileSync(join(dir, 'seed.iso'), seedImage(seed, Date.now()));
  const port = await freePort('127.0.0.1');
  writeFileSync(join(dir, 'known_hosts'), `[127.0.0.1]:${port} ${hostKey.publicKey}\n`);
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', disk, join(dir, 'node.qcow2'));
  const fromMs = performance.now();
  const vm = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-m',
        '1536',
        '-smp',
        String(CPUS),
        '-cpu',
        'max',
        '-display',
        'none',
        '-serial',
        `file:${join(dir, 'serial.log')}`,
      ],
      ...['-kernel', base.kernel, '-initrd', base.initrd, '-append', APPEND],
      ...['-drive', `file=${join(dir, 'node.qcow2')},if=virtio,format=qcow2`],
      ...['-drive', `file=${join(dir, 'seed.iso')},if=virtio,format=raw,readonly=on`],
      ...['-netdev', `user,id=n,hostfwd=tcp:127.0.0.1:${port}-:22`],
      ...['-device', `virtio-net-pci,netdev=n,mac=${MAC}`],
    ],
    { stdio: 'ignore' },
  );
  const ask = (command: string) =>
    spawnSync(
      'ssh',
      [
        ...[
          '-i',
          join(dir, 'login'),
          '-p',
          String(port),
          '-o',
          `UserKnownHostsFile=${join(dir, 'known_hosts')}`,
        ],
        ...['-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=20'],
        ...['rke@127.0.0.1', command],
      ],
      { encoding: 'utf8' },
    );
  try {
    while (ask('true').status !== 0) {
      if (performance.now() - fromMs > BOOT_MS)
        assert.fail(readFileSync(join(dir, 'serial.log'), 'utf8').slice(-3_000));
      await sleep(1_000);
    }
    const bootMs = performance.now() - fromMs;
    ask(QUESTIONS.cloudInit);
    const said = Object.entries(QUESTIONS).map(
      ([name, command]) => [name, ask(command).stdout.trim()] as const,
    );
    return { bootMs, said: { ...Object.fromEntries(said), key: hostKey.publicKey } };
  } finally {
    vm.kill('SIGKILL');
  }
}

export const proof: Proof = {
  name: 'packer-qemu',
  title: 'The example\u2019s provisioning, built by Packer with QEMU and booted with the bridge\u2019s seed',
  about:
    'The real bundle runs `image.build` with the real Packer: the scripts and the seed of `examples/packer/ubuntu`, with the QEMU builder on a Debian base instead of `hyperv-iso` on Ubuntu\u2019s ISO, and Docker from the distribution. The image is then started with a NoCloud seed as `vm.create` writes it, and asked over SSH, where only the host key that the bridge made is taken. Without KVM the processor is emulated.',
  async run() {
    const dir = mkdtempSync(join(tmpdir(), 'proof-qemu-'));
    const kept = process.env['NODE_CYCLE_PROOF_BASE'];
    const host = await rig();
    try {
      const base = makeBase(kept ?? join(dir, 'base'));
      const fromMs = performance.now();
      const built = await buildImage(host, base);
      assert.equal(built.error, undefined, built.log.slice(-40).join('\n'));
      const buildMs = performance.now() - fromMs;
      const { bootMs, said } = await bootWithSeed(built.disk, base, dir);
      const begun = built.log.filter((line) => line.startsWith('--- '));
      const seconds = (ms: number) => Math.round(ms / 1000);
      return {
        claims: [
          { claim: 'the build ends well, and its provisioner is named', holds: begun.length === 1 },
          {
            claim:
              'the node answers with the host key of its seed, at the address of its seed, under its name',
            holds:
              said['hostKeys'] === said['key'] &&
              said['address'] === `inet ${GUEST}` &&
              said['name'] === 'prod-n7',
          },
          {
            claim: 'Docker 20.10 runs',
            holds: /20\.10/.test(said['docker'] ?? '') && said['dockerRuns'] === 'active',
          },
          { claim: 'no update is pending', holds: said['pending'] === '0' },
          { claim: 'the user that Packer used is gone', holds: /no such user/.test(said['packer'] ?? '') },
          { claim: 'there is no swap', holds: said['swap'] === '1' },
          {
            claim: 'cloud-init finds the seed valid, and ends without an error',
            holds: /^Valid/.test(said['seed'] ?? '') && /done/.test(said['cloudInit'] ?? ''),
          },
        ],
        tables: [
          {
            title: 'What the node says of itself',
            head: ['question', 'answer'],
            rows: Object.entries(QUESTIONS).map(([name, command]) => [
              `\`${command.replaceAll('|', '\\|')}\``,
              said[name] ?? '',
            ]),
          },
          {
            title: 'Times',
            head: ['what', 'seconds'],
            rows: [
              ['the build, from its request to its end', seconds(buildMs)],
              ['from power on to the first login', seconds(bootMs)],
            ],
          },
        ],
      };
    } finally {
      await host.end();
      rmSync(dir, { recursive: true, force: true });
    }
  },
};
