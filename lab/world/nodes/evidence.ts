/**
 * What a node's shell prints for the one command that asks what it runs (cycle/evidence), in the words of an Ubuntu with
 * docker whose package lists were read when it booted.
 */
import type { Machine } from '../world.ts';

export interface NodeAnswers {
  osRelease: string;
  kernel: string;
  openssl: string;
  /** `apt-get -s dist-upgrade`. */
  upgrades: string;
  bootedAtMs: number;
  nowMs: number;
}

export function evidenceOutput(machine: Machine, answers: NodeAnswers): string {
  const seconds = (ms: number) => String(Math.floor(ms / 1000));
  const version = machine.dockerVersion;
  const docker = version === '' ? ['', 'exit 1'] : [version, '', 'exit 0'];
  const daemon =
    version === '' ? ['', 'exit 127'] : [`Docker version ${version}, build 297e128`, '', 'exit 0'];
  const inst = answers.upgrades.split('\n').filter((line) => line.startsWith('Inst '));
  const parts: [string, string[]][] = [
    ['os', answers.osRelease.trim().split('\n')],
    ['kernel', [answers.kernel]],
    ['openssl', [answers.openssl]],
    ['boot', [`btime ${seconds(answers.bootedAtMs)}`]],
    ['now', [seconds(answers.nowMs)]],
    ['docker', docker],
    ['dockerd', daemon],
    ['runtimes', []],
    ['apt', [...inst, '', 'exit 0']],
    [
      'aptlists',
      [
        `read ${seconds(answers.bootedAtMs)}`,
        'archive.ubuntu.com_ubuntu_dists_jammy_main_binary-amd64_Packages',
        'security.ubuntu.com_ubuntu_dists_jammy-security_main_binary-amd64_Packages',
      ],
    ],
    ['end', []],
  ];
  return parts.map(([name, lines]) => ['', `=== ${name}`, ...lines, ''].join('\n')).join('');
}
