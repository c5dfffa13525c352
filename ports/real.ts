/** The real ports of a process: every adapter of this folder together. */
import { basicPorts } from './basic.ts';
import { dns } from './dns.ts';
import type { Ports } from './ports.ts';
import { ssh } from './ssh.ts';

export interface RealPorts extends Ports {
  /** Closes kept connections. */
  close(): void;
}

export function realPorts(): RealPorts {
  const { ports, close } = basicPorts();
  return { ...ports, ssh, dns, close };
}
