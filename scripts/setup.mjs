/**
 * Makes a fresh clone ready, with nothing but Node: `npm ci` when node_modules is missing or stale, and with
 * `--debian` the Debian packages of the real components that tests and lab use. The packages are a bonus: when
 * they cannot be installed, the one command is printed and everything else goes on.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** [package, program]: a program from elsewhere is as good. Without a program the package itself is asked for. */
const DEBIAN_PACKAGES = [
  ['nginx-light', undefined],
  ['genisoimage', 'isoinfo'],
  ['libnginx-mod-stream', undefined],
  ['bind9', 'named'],
  ['bind9-dnsutils', 'nsupdate'],
  ['openssh-server', 'sshd'],
  ['openssh-client', 'ssh'],
  ['etcd-server', 'etcd'],
  ['etcd-client', 'etcdctl'],
  ['git', 'git'],
  ['kubernetes-client', 'kubectl'],
  ['packer', 'packer'],
];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.node-cycle-stamp');

installModules();
if (process.argv.includes('--debian')) installDebianPackages();

function installModules() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const wanted = createHash('sha256').update(lock).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  if (!sameVersions(JSON.parse(lock.toString('utf8')))) {
    console.log('setup: installing node modules (npm ci)');
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    const { status, error } = spawnSync(npm, ['ci', '--no-audit', '--no-fund'], {
      cwd: root,
      stdio: 'inherit',
      shell: process.platform === 'win32',
    });
    if (status !== 0) {
      console.error(`setup: npm ci failed${error ? `: ${error.message}` : ` with exit code ${status}`}`);
      process.exit(1);
    }
  }
  writeFileSync(stamp, wanted);
}

/** Whether npm's own record of node_modules names the versions of the lock file; a plain `npm install` leaves no stamp. */
function sameVersions(lock) {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  return Object.entries(lock.packages).every(
    ([path, { version, optional, link }]) =>
      path === '' || link || (optional && !(path in installed)) || installed[path]?.version === version,
  );
}

function installDebianPackages() {
  if (!isDebian()) return;
  const missing = DEBIAN_PACKAGES.filter(([name, program]) => !hasProgram(program) && !isInstalled(name))
    .map(([name]) => name)
    .filter(isKnown);
  if (missing.length === 0) return;
  const command = ['apt-get', 'install', '--yes', '--no-install-recommends', ...missing];
  if (process.getuid?.() !== 0) {
    console.log(`setup: for tests against the real components: sudo ${command.join(' ')}`);
    return;
  }
  console.log(`setup: installing ${missing.join(', ')}`);
  if (aptGet(command) || (aptGet(['apt-get', 'update']) && aptGet(command))) return;
  console.log(`setup: that failed; stand-ins are used instead. To try again: ${command.join(' ')}`);
}

function aptGet([file, ...args]) {
  const { status, stderr } = spawnSync(file, ['-qq', ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: 300_000,
  });
  if (status !== 0) console.log(`setup: ${file} ${args[0]}: ${(stderr ?? '').trim().split('\n').at(-1)}`);
  return status === 0;
}

function isDebian() {
  if (process.platform !== 'linux' || !existsSync('/etc/os-release')) return false;
  return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(readFileSync('/etc/os-release', 'utf8'));
}

function hasProgram(program) {
  if (program === undefined) return false;
  const folders = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`.split(':');
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)));
}

function isInstalled(name) {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', name], { encoding: 'utf8' });
  return stdout === 'installed';
}

/** Newer releases lack some of the packages; one unknown name would make apt-get refuse the others. */
function isKnown(name) {
  const { stdout } = spawnSync('apt-cache', ['policy', name], { encoding: 'utf8' });
  return !stdout || /Candidate: (?!\(none\))/.test(stdout);
}
