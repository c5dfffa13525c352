/**
 * Whether a refusal told the truth: what must be so in the world when a code is given as the reason. A code without
 * an entry cannot be judged from outside and is counted as such.
 */
import type { Setting } from '../outside/setting.ts';
import { seenOf, type Seen } from './seen.ts';

type Truth = (seen: Seen, setting: Setting) => boolean;

const fileDiffers: Truth = (_seen, { repo, input }) =>
  withoutNodes(repo.tip().files.get('cluster.yml') ?? '') !==
  withoutNodes(input.texts.user['cluster.yml'] ?? '');

const vmMissing: Truth = (seen, { input }) =>
  input.example.nodes.some(
    ({ address }) => !seen.vms.some((vm) => vm.address === address && !vm.setAside && vm.state === 'running'),
  );

const troubled: Truth = (seen) => seen.excused.size > 0;

export const REASONS: Readonly<Record<string, Truth>> = {
  // By its own words a defect.
  NC1014: () => false,
  NC1013: (seen, { runs }) => seen.holder !== '' && runs.get(seen.holder.split('/').pop() ?? '') !== true,
  NC1212: (seen, setting) => troubled(seen, setting) || vmMissing(seen, setting),
  NC1217: vmMissing,
  NC1230: (seen) => seen.nodes.some(({ ready }) => !ready),
  NC1231: (seen) => seen.nodes.some(({ cordoned }) => cordoned),
  NC1232: (seen, { world }) =>
    seen.intent.some(({ address }) => {
      const machine = world.machineAt(address);
      return machine?.up !== true || machine.ssh === 'silent';
    }),
  NC1234: fileDiffers,
  NC1236: (seen) => !seen.quorum || seen.members.some(({ running }) => !running),
};

export type Truthfulness = 'true' | 'false' | 'not judged';

export function isTrue(code: string, setting: Setting, excused: ReadonlyMap<string, number>): Truthfulness {
  const truth = REASONS[code];
  if (truth === undefined) return 'not judged';
  return truth(seenOf(setting, excused), setting) ? 'true' : 'false';
}

function withoutNodes(text: string): string {
  return text
    .replace(/\nnodes:\n[\s\S]*?\n(?=services:)/, '\n')
    .replace(/^\s*#.*\n?/gm, '')
    .trim();
}
