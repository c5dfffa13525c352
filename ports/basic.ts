/**
 * The adapters that every process of ours needs. SSH and DNS come with those tasks that use them: their
 * libraries are a good part of a bundle.
 */
import { clock } from './clock.ts';
import { openConnect } from './connect.ts';
import { files } from './files.ts';
import { openHttp } from './http.ts';
import type { HttpOptions } from './http.ts';
import type { Ports } from './ports.ts';
import { random } from './random.ts';
import { run } from './run.ts';

export type BasicPorts = Omit<Ports, 'ssh' | 'dns'>;

/** `close` ends kept connections. */
export function basicPorts(options: HttpOptions = {}): { ports: BasicPorts; close(): void } {
  const { http, close } = openHttp(options);
  const connect = openConnect(options);
  return { ports: { http, run, connect, files, clock, random }, close };
}
