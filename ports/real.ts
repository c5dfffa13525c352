/** The real ports of a process: every adapter of this folder together. */
import { clock } from './clock.ts';
import { connect } from './connect.ts';
import { dns } from './dns.ts';
import { files } from './files.ts';
import { openHttp } from './http.ts';
import type { Ports } from './ports.ts';
import { random } from './random.ts';
import { run } from './run.ts';
import { ssh } from './ssh.ts';

export interface RealPorts extends Ports {
  /** Closes kept connections. */
  close(): void;
}

export function realPorts(): RealPorts {
  const opened = openHttp();
  return { http: opened.http, run, ssh, dns, connect, files, clock, random, close: () => opened.close() };
}
