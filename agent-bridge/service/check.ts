/** `check`: what each client may do, in plain words, derived from the operations and their rules. */
import { CHANGES, OPERATIONS } from '../protocol/operations.ts';
import { RULES } from '../server/decide.ts';
import type { BridgePolicy, ClientPolicy } from '../server/policy.ts';

export function describePolicy(policy: BridgePolicy): string[] {
  const lines = [
    `The bridge listens on ${policy.listen.host}:${policy.listen.port} and keeps set-aside VMs for ${policy.keepStoppedHours} h.`,
  ];
  if (policy.clients.length === 0) lines.push('There are no clients: nobody may do anything.');
  for (const client of policy.clients) lines.push('', ...describeClient(client));
  return lines;
}

function describeClient(client: ClientPolicy): string[] {
  const lines = [
    `Client ${client.name}${client.fingerprint === undefined ? ' (not enrolled: it cannot connect)' : ''} may:`,
  ];
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
