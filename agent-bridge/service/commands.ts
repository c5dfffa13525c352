/** The commands of the bridge's own bundle: everything but the making of certificates. */
import { resolve } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import { records } from '../host/records.ts';
import { supervise } from '../jobs/supervise.ts';
import { checkWitness, verifyLog } from '../log/log.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { adopt, undelete } from './adopt.ts';
import type { AdminPorts } from './adopt.ts';
import { startBridge, text } from './bridge.ts';
import { describePolicy } from './check.ts';
import { readCommandLine } from './command-line.ts';
import { explain } from './explain.ts';
import { placesIn } from './places.ts';
import { openPolicy, withoutFingerprint } from './policy-file.ts';
import type { PolicyFile } from './policy-file.ts';

export const USAGE = [
  'bridge serve                                     answers clients',
  'bridge check                                     says what each client may do',
  'bridge explain CLIENT OPERATION PARAMS.json      allowed or not, and by which line of bridge.yaml',
  'bridge revoke NAME                               ends a client: its connections close, its jobs finish',
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
      return serve(openPolicy(config, ports.disk), ports);
    case 'check':
      describePolicy(readPolicy(config, ports)).forEach(ports.print);
      return 0;
    case 'explain':
      return explainRequest(readPolicy(config, ports), line.words, ports);
    case 'revoke':
      return revoke(config, line.words[0] ?? '', ports);
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
  return openPolicy(path, disk).policy;
}

async function serve(file: PolicyFile, ports: CommandPorts): Promise<number> {
  const bridge = await startBridge(file.policy, ports, file.changed);
  ports.say('listening', {
    host: file.policy.listen.host,
    port: bridge.port,
    ...(bridge.healthPort === undefined ? {} : { healthPort: bridge.healthPort }),
  });
  await ports.asked;
  await bridge.stop();
  ports.say('stopped');
  return 0;
}

function explainRequest(policy: BridgePolicy, words: readonly string[], ports: CommandPorts): number {
  const [client = '', operation = '', file] = words;
  const source = file === undefined ? '{}' : text(ports.disk, resolve(file));
  if (source === undefined) throw new CodedError('NC2010', `There is no ${file ?? ''}.`);
  let params: unknown;
  try {
    params = JSON.parse(source);
  } catch {
    throw new CodedError('NC2010', `${file ?? ''} is not JSON.`);
  }
  const kept = records(ports.disk, placesIn(policy.dataDir).records);
  const said = explain(policy, { client, operation, params }, (id) => kept.get(id)?.cluster);
  said.lines.forEach(ports.print);
  return said.allowed ? 0 : 1;
}

/** A bridge that runs sees the file; one that does not reads it when it starts. */
function revoke(config: string, name: string, ports: CommandPorts): number {
  readPolicy(config, ports);
  const changed = withoutFingerprint(text(ports.disk, config) ?? '', name);
  if (changed === undefined)
    throw new CodedError('NC2010', `${config} has no client ${JSON.stringify(name)}.`);
  ports.disk.write(config, changed);
  ports.print(
    `${name} is revoked in ${config}: its certificate opens nothing any more. Jobs that run go on to their end.`,
  );
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
