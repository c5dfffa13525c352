/**
 * The NoCloud seed of a new node: its files, and the image that the node finds them on. JSON is YAML, so nothing here is put together as text.
 */
import type { ImagePolicy, NetworkPolicy } from '../server/policy.ts';
import { prefixLength } from '../server/ranges.ts';
import { isoImage } from './iso9660.ts';
import type { SshHostKey } from './ssh-host-key.ts';

export interface SeedInput {
  jobId: string;
  node: string;
  mac: string;
  address?: string | undefined;
  network: NetworkPolicy;
  image: ImagePolicy;
  hostKey: SshHostKey;
}

export interface Seed {
  metaData: string;
  userData: string;
  /** null: DHCP, as cloud-init does by itself. */
  networkConfig: string | null;
}

export function seedOf({ jobId, node, mac, address, network, image, hostKey }: SeedInput): Seed {
  const user = {
    hostname: node,
    preserve_hostname: false,
    manage_etc_hosts: true,
    ssh_pwauth: false,
    ssh_deletekeys: true,
    ssh_keys: { ed25519_private: hostKey.privateKey.reveal(), ed25519_public: hostKey.publicKey },
    users: [
      {
        name: image.user,
        shell: '/bin/bash',
        lock_passwd: true,
        sudo: 'ALL=(ALL) NOPASSWD:ALL',
        ssh_authorized_keys: image.authorizedKeys,
      },
    ],
  };
  const net = {
    version: 2,
    ethernets: {
      primary: {
        match: { macaddress: mac },
        dhcp4: false,
        addresses: [`${address}/${prefixLength(network.subnet)}`],
        ...(network.gateway === undefined ? {} : { routes: [{ to: 'default', via: network.gateway }] }),
        nameservers: { addresses: network.dns },
      },
    },
  };
  return {
    metaData: JSON.stringify({ 'instance-id': jobId, 'local-hostname': node }),
    userData: `#cloud-config\n${JSON.stringify(user)}`,
    networkConfig: address === undefined ? null : JSON.stringify(net),
  };
}

/** cloud-init looks for a volume of this name. */
export const SEED_VOLUME = 'cidata';

export function seedImage({ metaData, userData, networkConfig }: Seed, nowMs: number): Uint8Array {
  const files = [
    { name: 'meta-data', content: metaData },
    { name: 'user-data', content: userData },
    ...(networkConfig === null ? [] : [{ name: 'network-config', content: networkConfig }]),
  ];
  return isoImage(SEED_VOLUME, files, nowMs);
}
