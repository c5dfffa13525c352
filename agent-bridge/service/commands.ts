/** The commands of the bridge's own bundle: everything but the making of certificates. */
import { resolve } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import { runPacker } from '../host/packer/run.ts';
import type { ChildPorts } from '../host/packer/run.ts';
import { records } from '../host/records.ts';
import type { BridgePolicy } from '../server/policy.ts';
import { adopt, undelete } from './adopt.ts';
import type { AdminPorts } from './adopt.ts';
import { auditVerify } from './audit.ts';
import { startBridge } from './bridge.ts';
import { text } from './text.ts';
import { describeImages, describePolicy } from './check.ts';
import { readCommandLine } from './command-line.ts';
import { doctor } from './doctor/doctor.ts';
import { explain } from './explain.ts';
import { fence } from './fence.ts';
import { placesIn } from './places.ts';
import { withoutFingerprint } from './policy-edit.ts';
import { openPolicy, writePolicy } from './policy-file.ts';
import type { PolicyFile } from './policy-file.ts';

export const USAGE = [
  'bridge serve                                     answers clients',
  'bridge check                                     says what each client may do',
  'bridge explain CLIENT OPERATION PARAMS.json      allowed or not, and by which line of bridge.yaml',
  'bridge revoke NAME                               ends a client: its connections close, its jobs finish',
  'bridge audit verify [--witness FILE]             checks the log, and heads that callers kept',
  'bridge fence CLUSTER [NUMBER] [--yes]            the highest fence number seen, or another one from now on',
  'bridge adopt --cluster C (ID [--node NAME] | --all-matching PATTERN) [--yes]',
  'bridge undelete ID [--yes]                       brings a set-aside VM back, its network disconnected',
  'bridge doctor                                    what is wrong with this installation, and what to do',
  'bridge-admin init [--data-dir DIR]               bridge.yaml, the data folder, the server\u2019s certificate',
  '  init also takes --scripts-dir, --vm-root and --image-root, for the first bridge.yaml',
  'bridge-admin enroll NAME [--json FILE]           a client\u2019s certificate; the one before opens nothing any more',
  'bridge-admin rotate [NAME] [--json FILE]         a second certificate of a client, or of the server; both are good',
  'bridge-admin rotate [NAME] (--finish | --cancel) the end of the old one, or of the new one',
  '  enroll and rotate NAME take --certificate FILE --fingerprint SHA256 for a key that was made elsewhere',
  'All take --config FILE (default bridge.yaml).',
];

export interface CommandPorts extends AdminPorts {
  /** For a command that a supervisor starts. */
  child: ChildPorts;
  /** Settles when the process is asked to end. */
  asked: Promise<void>;
}

/** Gives the exit code. */
export async function runCommand(argv: readonly string[], ports: CommandPorts): Promise<number> {
  const [command = 'help', ...rest] = argv;
  if (command === 'run-packer') return runPacker({ ...ports, ...ports.child });
  const line = readCommandLine(rest, ['config', 'cluster', 'node', 'all-matching', 'witness'], ['yes']);
  const config = resolve(line.options.get('config') ?? 'bridge.yaml');
  const admin: AdminPorts = line.flags.has('yes') ? { ...ports, confirm: async () => true } : ports;
  switch (command) {
    case 'serve':
      return serve(openPolicy(config, ports.disk), ports);
    case 'check': {
      const policy = readPolicy(config, ports);
      [...describePolicy(policy), ...describeImages(policy, ports.disk)].forEach(ports.print);
      return 0;
    }
    case 'explain':
      return explainRequest(readPolicy(config, ports), line.words, ports);
    case 'doctor':
      return doctor(config, ports);
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
    case 'fence':
      return fence(readPolicy(config, ports), line.words, admin);
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
  const { dataDir } = readPolicy(config, ports);
  const changed = withoutFingerprint(text(ports.disk, config) ?? '', name);
  if (changed === undefined)
    throw new CodedError('NC2010', `${config} has no client ${JSON.stringify(name)}.`);
  writePolicy(config, changed, ports.disk);
  ports.disk.remove(placesIn(dataDir).clientCertificate(name));
  ports.print(
    `${name} is revoked in ${config}: its certificate opens nothing any more. Jobs that run go on to their end.`,
  );
  return 0;
}
