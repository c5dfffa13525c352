/**
 * rke's way onto a host: SSH without any host key check, then Docker. Each way that it fails has rke's own
 * words, which often name another cause (facts/rke-ran.md, section 5).
 */
import { isIP } from 'node:net';
import { posix } from 'node:path';
import ssh2 from 'ssh2';
import type { ParsedKey } from 'ssh2';
import type { Machine } from '../world.ts';
import type { NodeEntry, RkeConfig } from './config.ts';
import { SUPPORTED_DOCKER } from './defaults.ts';
import { expandHome, has } from './request.ts';
import type { Run } from './run.ts';

const SOCKET = '/var/run/docker.sock';
const CONNECT = `Can't retrieve Docker Info: error during connect: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/info": `;
const NO_DAEMON = `Can't retrieve Docker Info: Cannot connect to the Docker daemon at unix://${SOCKET}. Is the docker daemon running?`;
/** The kernel gives up on an address that nobody has after about three seconds, packets that are dropped after two minutes. */
const NO_ROUTE_MS = 120;

export interface Dialed {
  machine: Machine;
}

/** A host's machine, or why rke cannot use it. Never returns for a host that accepts and stays silent. */
export async function dial(
  run: Run,
  node: NodeEntry,
  config: RkeConfig,
): Promise<Dialed | { reason: string }> {
  run.info(`[dialer] Setup tunnel for host [${node.address}]`);
  const target = `${node.address}:${node.port}`;
  const key = loginKey(run, node, config);
  if ('reason' in key) return key;
  if (isIP(node.address) === 0) {
    await run.pause(30);
    return {
      reason: `${CONNECT}Failed to dial ssh using address [${target}]: dial tcp: lookup ${node.address}: no such host`,
    };
  }
  const machine = run.around.world.machineAt(node.address);
  if (machine === undefined) {
    await run.pause(NO_ROUTE_MS);
    return {
      reason: `${CONNECT}Failed to dial ssh using address [${target}]: dial tcp ${target}: connect: no route to host`,
    };
  }
  if (machine.ssh === 'silent') return run.hang();
  await run.pause(25);
  if (!machine.up || Number(node.port) !== run.around.ports.ssh) return { reason: NO_DAEMON };
  if (!key.lines.some((line) => mayLogIn(machine, line)))
    return {
      reason: `${CONNECT}Unable to access node with address [${target}] using SSH. Please check if you are able to SSH to the node using the specified SSH Private Key and if you have configured the correct SSH username. Error: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain`,
    };
  if (machine.dockerVersion === '')
    return {
      reason: `${CONNECT}Unable to access the service on ${SOCKET}. The service might be still starting up. Error: ssh: rejected: connect failed (open failed)`,
    };
  return { machine };
}

/** OpenSSH 9 takes no ssh-rsa signature, and this rke makes no other with an RSA key. */
function mayLogIn(machine: Machine, line: string): boolean {
  return !line.startsWith('ssh-rsa ') && machine.authorizedKeys.includes(line);
}

function loginKey(
  run: Run,
  node: NodeEntry,
  config: RkeConfig,
): { lines: readonly string[] } | { reason: string } {
  const target = `${node.address}:${node.port}`;
  const notAKey = {
    reason: `${CONNECT}Unable to access node with address [${target}] using SSH. Please check if the configured key or specified key file is a valid SSH Private Key. Error: Error configuring SSH: ssh: no key found`,
  };
  if (has(run.invocation, 'ssh-agent-auth') || config.sshAgentAuth || node.sshAgentAuth === true)
    return run.request.agentKeys === undefined ? notAKey : { lines: run.request.agentKeys };
  let text = node.sshKey;
  if (text === undefined) {
    const named = node.sshKeyPath ?? config.sshKeyPath;
    const path = posix.resolve(run.request.cwd, expandHome(named, run.request.home));
    const file = run.file(path);
    if (file.kind !== 'file')
      return {
        reason: `Can't establish dialer connection: Error while reading SSH key file: open ${path}: no such file or directory`,
      };
    text = file.text;
  }
  const parsed: ParsedKey | ParsedKey[] | Error = ssh2.utils.parseKey(text);
  if (parsed instanceof Error)
    return /encrypted|passphrase/i.test(parsed.message)
      ? {
          reason: `${CONNECT}Failed to dial ssh using address [${target}]: Error configuring SSH: ssh: this private key is passphrase protected`,
        }
      : notAKey;
  const one = [parsed].flat()[0];
  if (one === undefined || one instanceof Error || !one.isPrivateKey()) return notAKey;
  return { lines: [`${one.type} ${one.getPublicSSH().toString('base64')}`] };
}

/** Text of the fatal line for a Docker that this rke does not take. */
export function unsupportedDocker(run: Run, machine: Machine, address: string): string | undefined {
  if (has(run.invocation, 'ignore-docker-version')) return undefined;
  const [major = '', minor = ''] = machine.dockerVersion.split('.');
  if (SUPPORTED_DOCKER.includes(`${major}.${minor}.x`)) return undefined;
  return `Unsupported Docker version found [${machine.dockerVersion}] on host [${address}], supported versions are [${SUPPORTED_DOCKER.join(' ')}]`;
}
