/** What a guest takes from its seed on its first boot: cloud-init's files, as far as a guest shows what was in them. */
import type { Machine } from '../world.ts';
import { guest } from './hosts.ts';
import type { Host, ImageContent, Vm } from './hosts.ts';
import { isoFiles } from './iso-files.ts';

/** The guest of a VM that starts for the first time, still off. */
export function firstBoot(host: Host, vm: Vm, seed: Seed, content: ImageContent): Machine {
  const address = seed.address ?? lease(host);
  return guest(vm, { ...seed, name: seed.hostname ?? vm.name, address, content });
}

/** No lease: the guest gives itself a link-local address, which nobody may believe. */
function lease(host: Host): string {
  return host.dhcp.shift() ?? '169.254.17.4';
}

export interface Seed {
  hostname?: string | undefined;
  /** Absent: DHCP. */
  address?: string | undefined;
  sshHostKey: { private: string; public: string };
  authorizedKeys: string[];
}

/** Throws when there is no user-data to read. */
export function readSeed(image: Buffer): Seed {
  const files = isoFiles(image);
  const user = JSON.parse((files.get('user-data') ?? '').replace(/^#cloud-config\r?\n/, '')) as {
    hostname?: string;
    ssh_keys?: { ed25519_private?: string; ed25519_public?: string };
    users?: (string | { ssh_authorized_keys?: string[] })[];
    ssh_authorized_keys?: string[];
  };
  const users = (user.users ?? []).filter((one) => typeof one !== 'string');
  const keys = [
    ...(user.ssh_authorized_keys ?? []),
    ...users.flatMap((one) => one.ssh_authorized_keys ?? []),
  ];
  return {
    hostname: user.hostname,
    address: addressIn(files.get('network-config')),
    sshHostKey: {
      private: user.ssh_keys?.ed25519_private ?? '',
      public: twoFields(user.ssh_keys?.ed25519_public ?? ''),
    },
    authorizedKeys: keys.map(twoFields),
  };
}

function addressIn(networkConfig: string | undefined): string | undefined {
  if (networkConfig === undefined) return undefined;
  const { ethernets } = JSON.parse(networkConfig) as {
    ethernets: Record<string, { addresses?: string[] }>;
  };
  return Object.values(ethernets)[0]?.addresses?.[0]?.replace(/\/\d+$/, '');
}

/** `type base64`, without the comment. */
const twoFields = (line: string): string => line.trim().split(/\s+/).slice(0, 2).join(' ');
