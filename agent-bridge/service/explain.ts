/** `explain`: whether one request of one client would be allowed, and by which line of bridge.yaml. */
import { OPERATIONS } from '../protocol/operations.ts';
import { refusalOf, RULES } from '../server/decide.ts';
import { fingerprintsOf } from '../server/policy.ts';
import type { BridgePolicy } from '../server/policy.ts';

export interface Explanation {
  allowed: boolean;
  lines: string[];
}

/** `clusterOf`: cluster of the bridge's own record of a VM. Budgets are named, not charged. */
export function explain(
  policy: BridgePolicy,
  request: { client: string; operation: string; params: unknown },
  clusterOf: (vmId: string) => string | undefined,
): Explanation {
  const deny = (...lines: string[]): Explanation => ({
    allowed: false,
    lines: [`Denied: ${lines[0] ?? ''}`, ...lines.slice(1)],
  });
  const index = policy.clients.findIndex(({ name }) => name === request.client);
  const client = policy.clients[index];
  if (client === undefined)
    return deny(
      `line ${policy.lineOf(['clients'])}: no client has the name ${JSON.stringify(request.client)}.`,
    );
  const operation = OPERATIONS.get(request.operation);
  if (operation === undefined)
    return deny(
      `there is no operation ${JSON.stringify(request.operation)}.`,
      `Operations: ${[...OPERATIONS.keys()].join(', ')}`,
    );
  const parsed = operation.schema.safeParse(request.params);
  if (!parsed.success)
    return deny(
      ...parsed.error.issues.map((issue) => {
        const field = issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : issue.path.join('.');
        return `${field === '' ? 'the parameters' : field}: ${issue.code === 'unrecognized_keys' ? 'no such parameter' : 'not of its type'}.`;
      }),
    );
  const refusal = refusalOf(operation, parsed.data, { policy, client, clusterOf });
  if (refusal !== undefined) {
    const { field, rule, line } = refusal;
    const wanted =
      rule !== undefined && rule in RULES
        ? RULES[rule as keyof typeof RULES].says(client)
        : `among the operations of ${client.name}`;
    return deny(`line ${line ?? 1}: ${field ?? operation.name} is not ${wanted}.`);
  }
  const keyLine = (key: PropertyKey) => policy.lineOf(['clients', index, key]);
  const granted = Object.entries(operation.params)
    .filter(([name]) => name in parsed.data)
    .map(([name, { rule }]) => `  ${name}: ${RULES[rule].says(client)} (line ${keyLine(RULES[rule].key)})`);
  const budget =
    operation.budget === undefined
      ? []
      : [
          `  while fewer than ${client.budgets[operation.budget]} were made in 24 hours (line ${policy.lineOf(['clients', index, 'budgets', operation.budget])})`,
        ];
  const canConnect = fingerprintsOf(client).length > 0;
  const enrolled = canConnect ? [] : [`But ${client.name} is not enrolled: it cannot connect.`];
  return {
    allowed: canConnect,
    lines: [
      `${enrolled.length === 0 ? 'Allowed' : 'Granted'}: ${operation.name} (line ${keyLine('operations')})`,
      ...granted,
      ...budget,
      ...enrolled,
    ],
  };
}
