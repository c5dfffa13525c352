/** The admin bundle, `bridge-admin.cjs`: `init`, `enroll` and `rotate`, which make certificates, and all other commands. */
import { dirname, join, resolve } from 'node:path';
import { writeScripts } from '../host/script-texts.ts';
import { readCommandLine } from './command-line.ts';
import { readPolicy, runCommand } from './commands.ts';
import type { CommandPorts } from './commands.ts';
import { enroll, newServerPair, serverPins } from './certificates/enroll.ts';
import type { MakePorts } from './certificates/enroll.ts';
import { placesIn } from './places.ts';
import { endWith } from './end-with.ts';
import { commandPorts } from './process-adapter.ts';
import { rotateClient, rotateServer } from './certificates/rotate.ts';
import { starterPolicy } from './starter.ts';
import { text } from './text.ts';

endWith(runAdmin(process.argv.slice(2)));

async function runAdmin(argv: readonly string[]): Promise<number> {
  const ports = commandPorts(join(dirname(process.argv[1] ?? ''), 'bridge.cjs'));
  const [command = '', ...rest] = argv;
  if (!['init', 'enroll', 'rotate'].includes(command)) return runCommand(argv, ports);
  const valued =
    command === 'init'
      ? ['config', 'data-dir', 'scripts-dir', 'vm-root', 'image-root']
      : ['config', 'json', 'fingerprint', 'certificate'];
  const line = readCommandLine(rest, valued, command === 'rotate' ? ['finish', 'cancel'] : []);
  const config = resolve(line.options.get('config') ?? 'bridge.yaml');
  if (command === 'init') return init(config, line.options, ports);
  const [name] = line.words;
  const from = {
    json: line.options.get('json'),
    certificate: line.options.get('certificate'),
    fingerprint: line.options.get('fingerprint'),
  };
  if (command === 'enroll') return enroll(config, name ?? '', from, ports);
  return name === undefined
    ? rotateServer(config, line.flags, ports)
    : rotateClient(config, name, line.flags, from, ports);
}

/** Makes what is missing; of what is there it changes only scripts of another version. */
function init(config: string, places: ReadonlyMap<string, string>, ports: CommandPorts & MakePorts): number {
  const { disk, print } = ports;
  if (text(disk, config) === undefined) {
    const starter = {
      dataDir: places.get('data-dir') ?? join(dirname(config), 'data'),
      scriptsDir: places.get('scripts-dir'),
      vmRoot: places.get('vm-root'),
      imageRoot: places.get('image-root'),
    };
    disk.write(config, starterPolicy(starter));
    print(`Wrote ${config}: it grants nothing yet.`);
  }
  const policy = readPolicy(config, ports);
  const kept = placesIn(policy.dataDir);
  for (const dir of [policy.dataDir, kept.keys, kept.jobs, kept.records, kept.clients, kept.admin])
    disk.makeDir(dir);
  if (text(disk, kept.serverKey) === undefined) {
    const { cert, key } = newServerPair(ports);
    disk.write(kept.serverKey, key);
    disk.write(kept.serverCertificate, cert);
  }
  const written = writeScripts(disk, policy.scriptsDir);
  if (written.length > 0) print(`Wrote ${written.length} script(s) to ${policy.scriptsDir}.`);
  print(`Server certificate: SHA-256 ${serverPins(policy.dataDir, disk).join(',')}`);
  return 0;
}
