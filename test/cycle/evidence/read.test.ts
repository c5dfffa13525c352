/** What nodes say of themselves, as their programs print it; what cannot be told from it is unknown. */
import assert from 'node:assert/strict';
import { evidenceFacts, readEvidence } from '../../../cycle/evidence/read.ts';

const DEBIAN = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian`;
const UBUNTU = `PRETTY_NAME="Ubuntu 22.04.3 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
ID=ubuntu`;
const INST = {
  debianSecurity:
    'Inst libc6 [2.36-9+deb12u3] (2.36-9+deb12u13 Debian:12.12/oldstable, Debian-Security:12/oldstable-security [amd64])',
  debianPlain: 'Inst base-files [12.4+deb12u11] (12.4+deb12u15 Debian:12.15/oldstable [amd64])',
  ubuntuSecurity:
    'Inst openssl [3.0.2-0ubuntu1.10] (3.0.2-0ubuntu1.12 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64]) []',
  ubuntuKernel: 'Inst linux-image-5.15.0-94-generic (5.15.0-94.104 Ubuntu:22.04/jammy-security [amd64])',
  ubuntuPlain: 'Inst snapd [2.58] (2.61.3 Ubuntu:22.04/jammy-updates [amd64])',
};
const NOW = 1_750_000_000;
const LISTS = `read ${NOW - 3_600}
read ${NOW - 900_000}
deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages.lz4
deb.debian.org_debian-security_dists_bookworm-security_InRelease
deb.debian.org_debian-security_dists_bookworm-security_main_binary-amd64_Packages.lz4`;

function said(over: Record<string, string | undefined> = {}): string {
  const parts: Record<string, string | undefined> = {
    os: DEBIAN,
    kernel: '6.1.0-18-amd64',
    openssl: 'OpenSSL 3.0.11 19 Sep 2023 (Library: OpenSSL 3.0.11 19 Sep 2023)',
    boot: 'btime 1749999000',
    now: String(NOW),
    docker: '20.10.24\n\nexit 0',
    runtimes: '',
    apt: `${INST.debianSecurity}\n${INST.debianPlain}\n\nexit 0`,
    aptlists: LISTS,
    end: '',
    ...over,
  };
  return Object.entries(parts)
    .flatMap(([name, text]) => (text === undefined ? [] : [`\n=== ${name}\n${text}\n`]))
    .join('');
}
const updates = (over: Record<string, string | undefined>) => {
  const { securityUpdates, securityUpdatesBy } = readEvidence(said(over));
  return `${securityUpdates} ${securityUpdatesBy}`;
};

describe('The evidence of a node', () => {
  it('is read from a Debian with docker', () => {
    assert.deepEqual(readEvidence(said()), {
      os: 'Debian GNU/Linux 12 (bookworm)',
      osVersion: '12',
      kernel: '6.1.0-18-amd64',
      openssl: 'OpenSSL 3.0.11',
      runtime: 'docker 20.10.24',
      bootedAt: '2025-06-15T14:50:00.000Z',
      securityUpdates: 1,
      securityUpdatesBy: 'apt-get',
    });
  });

  it('counts the security updates of an Ubuntu, new kernels with them, and no others', () => {
    const lists = LISTS.replaceAll('bookworm', 'jammy').replaceAll('debian-security', 'ubuntu');
    const apt = [INST.ubuntuSecurity, INST.ubuntuKernel, INST.ubuntuPlain, '', 'exit 0'].join('\n');
    assert.equal(updates({ os: UBUNTU, apt, aptlists: lists }), '2 apt-get');
    assert.equal(updates({ apt: '\nexit 0' }), '0 apt-get');
  });

  it('does not take empty or old package lists for "nothing pending"', () => {
    const none = '0 upgraded\n\nexit 0';
    assert.equal(
      updates({ apt: none, aptlists: `read ${NOW}\nlock\npartial` }),
      'unknown no package lists of the security archive',
    );
    const old = LISTS.replace(String(NOW - 3_600), String(NOW - 86_401));
    assert.equal(
      updates({ apt: none, aptlists: old }),
      'unknown the package lists are of 2025-06-14T15:06:39.000Z',
    );
    assert.equal(updates({ apt: none, now: undefined }), 'unknown the age of the package lists is unknown');
    assert.equal(
      updates({ apt: none, aptlists: undefined }),
      'unknown no package lists of the security archive',
    );
  });

  it('asks apt-check when apt-get itself could not say, and believes neither when it fails', () => {
    assert.equal(updates({ apt: '\nexit 100', aptcheck: '14;3' }), '3 apt-check');
    assert.equal(
      updates({ apt: '\nexit 100', aptcheck: 'E: Error: BrokenCount > 0' }),
      'unknown apt-get ended with 100',
    );
    assert.equal(updates({ apt: INST.debianSecurity }), 'unknown apt-get ended with nothing');
  });

  it('reads the advisories of dnf 4 and dnf 5, a package once', () => {
    const four = [
      'RHSA-2024:1129 Moderate/Sec.  curl-minimal-7.76.1-26.el9_3.3.x86_64',
      'RHSA-2024:2570 Important/Sec. gnutls-3.7.6-23.el9_3.4.x86_64',
      'RHSA-2024:9999 Important/Sec. gnutls-3.7.6-23.el9_3.4.x86_64',
      'RHBA-2024:1111 bugfix         tzdata-2024a-1.el9.noarch',
      '',
      'exit 0',
    ].join('\n');
    const five = [
      'Name                   Type     Severity   Package                        Issued',
      'FEDORA-2025-0123456789 security Important  openssl-1:3.2.4-3.fc41.x86_64  2025-05-01 01:02:03',
      'FEDORA-2025-abcdefabcd security None       vim-minimal-2:9.1.1275-1.fc41.x86_64 2025-04-07 01:00:00',
      '',
      'exit 0',
    ].join('\n');
    const rpm = { apt: undefined, aptlists: undefined };
    assert.equal(updates({ ...rpm, dnf: four }), '2 dnf');
    assert.equal(updates({ ...rpm, dnf: five }), '2 dnf');
    assert.equal(updates({ ...rpm, dnf: '\nexit 0', advisories: 'RHSA-2023:1 Low/Sec. x' }), '0 dnf');
    assert.equal(updates({ ...rpm, dnf: '\nexit 0' }), 'unknown the repositories have no advisories');
    assert.equal(updates({ ...rpm, dnf: '\nexit 124' }), 'unknown dnf ended with 124');
    assert.equal(updates(rpm), 'unknown neither apt-get nor dnf');
  });

  it('names the container runtime by the daemon, none only when there is none', () => {
    const runtime = (over: Record<string, string | undefined>) =>
      readEvidence(said({ docker: undefined, ...over })).runtime;
    const denied = '\nexit 1';
    assert.equal(
      runtime({ docker: denied, dockerd: 'Docker version 24.0.7, build 311b9ff\n\nexit 0' }),
      'docker 24.0.7',
    );
    assert.equal(
      runtime({ containerd: 'containerd github.com/containerd/containerd v1.7.2 0cae528\n\nexit 0' }),
      'containerd 1.7.2',
    );
    assert.equal(runtime({ crio: 'crio version 1.28.4\n\nexit 0' }), 'crio 1.28.4');
    assert.equal(runtime({}), 'none');
    assert.equal(runtime({ docker: denied }), 'unknown');
    assert.equal(runtime({ runtimes: undefined }), 'unknown');
  });

  it('is unknown in every part of an empty, cut or foreign answer', () => {
    for (const text of ['', 'Welcome!\n', '=== os\n=== kernel\n=== boot\nbtime soon\n', '\u0000\u0001']) {
      const { securityUpdatesBy: _why, ...evidence } = readEvidence(text);
      assert.deepEqual([...new Set(Object.values(evidence))], ['unknown'], JSON.stringify(text));
    }
  });

  it('keeps the text of a machine to one short, printable line', () => {
    const evidence = readEvidence(
      said({
        os: `PRETTY_NAME="Evil \u001b[31m \\"OS\\" ${'x'.repeat(500)}"\nVERSION_ID='1 \\$2'`,
        kernel: '6.1\u0007',
      }),
    );
    assert.match(evidence.os, /^Evil {2}\[31m "OS" x+$/);
    assert.equal(evidence.os.length, 120);
    assert.deepEqual([evidence.osVersion, evidence.kernel], ['1 \\$2', '6.1']);
  });

  it('cannot be replaced by what a file of the node says further down', () => {
    const forged = said({ aptlists: `${LISTS}\n=== apt\n\nexit 0` });
    assert.equal(readEvidence(forged).securityUpdates, 1);
  });

  it('stands in the record in words', () => {
    assert.deepEqual(evidenceFacts(readEvidence(said())), {
      os: 'Debian GNU/Linux 12 (bookworm)',
      'os version': '12',
      kernel: '6.1.0-18-amd64',
      openssl: 'OpenSSL 3.0.11',
      'security updates pending': '1 (apt-get)',
      'container runtime': 'docker 20.10.24',
      'booted at': '2025-06-15T14:50:00.000Z',
    });
  });
});
