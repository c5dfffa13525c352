/** `check`: what each client may do, in plain words, derived from the operations and their rules; and the images. */
import { imageFiles } from '../host/host.ts';
import type { Disk } from '../log/disk.ts';
import { CHANGES, OPERATIONS } from '../protocol/operations.ts';
import { RULES } from '../server/decide.ts';
import { fingerprintsOf } from '../server/policy.ts';
import type { BridgePolicy, ClientPolicy } from '../server/policy.ts';

export function describePolicy(policy: BridgePolicy): string[] {
  const lines = [
    `The bridge listens on ${policy.listen.host}:${policy.listen.port} and keeps set-aside VMs for ${policy.keepStoppedHours} h.`,
  ];
  if (policy.clients.length === 0) lines.push('There are no clients: nobody may do anything.');
  for (const client of policy.clients) lines.push('', ...describeClient(client));
  return lines;
}

/** Which templates can be built, and the pins of those that cannot. */
export function describeImages(policy: BridgePolicy, disk: Disk): string[] {
  return Object.entries(policy.images).flatMap(([id, { pin }]) => {
    const made = imageFiles(policy, disk, id);
    if (!made) return [`Image ${id}: its template, or one of its sources, is missing.`];
    if (pin === made.pin) return [];
    const why = pin === undefined ? 'has no pin' : 'is not the one that is pinned';
    return [
      `Image ${id}: its template ${why}, so it is not built. When it is as it should be, write below ${id}:`,
      `    pin: ${made.pin}`,
    ];
  });
}

/** By the number of its certificates. */
const ENROLLED = [
  ' (not enrolled: it cannot connect)',
  '',
  ' (two certificates: a rotation is not finished)',
];

function describeClient(client: ClientPolicy): string[] {
  const lines = [`Client ${client.name}${ENROLLED[fingerprintsOf(client).length] ?? ''} may:`];
  if (client.operations.length === 0) lines.push('  nothing');
  for (const name of client.operations) {
    const operation = OPERATIONS.get(name);
    if (!operation) continue;
    lines.push(`  ${name}: ${operation.does}`);
    for (const [parameter, { rule }] of Object.entries(operation.params)) {
      lines.push(`    ${parameter}: ${RULES[rule].says(client)}`);
    }
    if (operation.budget) lines.push(`    at most ${client.budgets[operation.budget]} in 24 hours`);
  }
  lines.push(`  and have at most ${client.maxRunningVms} running VMs.`);
  const denied = Object.keys(CHANGES).filter((name) => !client.operations.includes(name));
  return denied.length === 0 ? lines : [...lines, `  It may not: ${denied.join(', ')}.`];
}
