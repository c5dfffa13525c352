/** The commands of the bridge's own bundle: everything but the making of certificates. */
import { resolve } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import { supervise } from '../jobs/supervise.ts';
import { checkWitness, verifyLog } from '../log/log.ts';
import { parsePolicy } from '../server/policy.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { adopt, undelete } from './adopt.ts';
import type { AdminPorts } from './adopt.ts';
import { startBridge, text } from './bridge.ts';
import { describePolicy } from './check.ts';
import { readCommandLine } from './command-line.ts';
import { placesIn } from './places.ts';

export const USAGE = [
  'bridge serve                                     answers clients',
  'bridge check                                     says what each client may do',
  'bridge audit verify [--witness FILE]             checks the log, and heads that callers kept',
  'bridge adopt --cluster C (ID [--node NAME] | --all-matching PATTERN) [--yes]',
  'bridge undelete ID [--yes]                       brings a set-aside VM back, its network disconnected',
  'bridge-admin init | enroll NAME [--json FILE]    certificates, in a bundle of their own',
  'All take --config FILE (default bridge.yaml).',
];

export interface CommandPorts extends AdminPorts {
  /** Settles when the process is asked to end. */
  asked: Promise<void>;
}

/** Gives the exit code. */
export async function runCommand(argv: readonly string[], ports: CommandPorts): Promise<number> {
  const [command = 'help', ...rest] = argv;
  if (command === 'supervise') return (await supervise(rest[0] ?? '', ports)) ? 0 : 1;
  const line = readCommandLine(rest, ['config', 'cluster', 'node', 'all-matching', 'witness'], ['yes']);
  const config = resolve(line.options.get('config') ?? 'bridge.yaml');
  const admin: AdminPorts = line.flags.has('yes') ? { ...ports, confirm: async () => true } : ports;
  switch (command) {
    case 'serve':
      return serve(readPolicy(config, ports), ports);
    case 'check':
      describePolicy(readPolicy(config, ports)).forEach(ports.print);
      return 0;
    case 'adopt':
      return adopt(
        readPolicy(config, ports),
        {
          cluster: line.options.get('cluster') ?? '',
          id: line.words[0],
          allMatching: line.options.get('all-matching'),
          node: line.options.get('node'),
        },
        admin,
      );
    case 'undelete':
      return undelete(readPolicy(config, ports), line.words[0] ?? '', admin);
    case 'audit':
      if (line.words[0] === 'verify')
        return auditVerify(readPolicy(config, ports), line.options.get('witness'), ports);
      break;
    default:
  }
  USAGE.forEach(ports.print);
  return command === 'help' ? 0 : 2;
}

export function readPolicy(path: string, { disk }: Pick<AdminPorts, 'disk'>): BridgePolicy {
  const source = text(disk, path);
  if (source === undefined)
    throw new CodedError('NC2010', `There is no ${path}: give --config, or run init.`);
  return parsePolicy(source, path);
}

async function serve(policy: BridgePolicy, ports: CommandPorts): Promise<number> {
  const bridge = await startBridge(policy, ports);
  ports.say('listening', { host: policy.listen.host, port: bridge.port });
  await ports.asked;
  await bridge.stop();
  ports.say('stopped');
  return 0;
}

function auditVerify(
  policy: BridgePolicy,
  witness: string | undefined,
  { disk, print }: CommandPorts,
): number {
  const path = placesIn(policy.dataDir).log;
  const bytes = disk.read(path);
  if (!bytes) throw new CodedError('NC2010', `There is no ${path}.`);
  const { head, entries, fault, tornBytes } = verifyLog(bytes);
  const kept = witness === undefined ? '' : text(disk, resolve(witness));
  if (kept === undefined) throw new CodedError('NC2010', `There is no witness file ${witness ?? ''}.`);
  const faults = [...(fault === undefined ? [] : [fault]), ...checkWitness(bytes, kept)];
  faults.forEach(print);
  if (tornBytes > 0)
    print(`The last line is incomplete (${tornBytes} bytes): the bridge cuts it when it starts.`);
  print(`${entries} entries are whole, up to ${head.seq}:${head.hash}.`);
  return faults.length === 0 ? 0 : 1;
}
