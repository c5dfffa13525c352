/** A block of loopback addresses for one lab, so that several can run side by side: `127.a.b`. */
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

export interface AddressSpace {
  /** Three numbers of an address. */
  base: string;
  release(): void;
}

/** Nothing else of the lab listens here: whoever holds this port holds the block. */
const CLAIM_PORT = 5999;
const TRIES = 50;

export async function claimAddresses(): Promise<AddressSpace> {
  for (let i = 0; i < TRIES; i += 1) {
    // 127.0.x is where everything else on this machine lives.
    const base = `127.${randomInt(16, 250)}.${randomInt(0, 250)}`;
    const server = await claim(`${base}.1`);
    if (server !== undefined) return { base, release: () => void server.close() };
  }
  throw new Error(
    'No block of loopback addresses is free. On macOS only 127.0.0.1 exists, and the lab needs Linux.',
  );
}

function claim(address: string): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.unref();
    server.once('error', () => resolve(undefined));
    server.listen(CLAIM_PORT, address, () => resolve(server));
  });
}
