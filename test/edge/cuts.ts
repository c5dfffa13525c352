/** A connection to the proxy that is lost in the middle of a change: afterwards both files are new or both are old. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nginxProxy } from '../../cycle/edge/nginx/proxy.ts';
import { addBeside, removeAddress } from '../../cycle/edge/nginx/upstreams.ts';
import { PortError } from '../../ports/ports.ts';
import type { Ssh } from '../../ports/ports.ts';
import { random } from '../../ports/random.ts';
import { ssh } from '../../ports/ssh.ts';
import { NEW, OLD, WAIT } from './rig.ts';
import type { EdgeProxy } from './rig.ts';
import { ask, change } from './swap.ts';

export interface Cut {
  command: 'put' | 'reload';
  afterMs: number;
}

export interface CutReport extends Cut {
  /** How the files were found by the next run. */
  left: 'new' | 'old' | 'torn';
  /** What a user got right after the cut, and after the next run had done its part. */
  served: [string, string];
  /** The next run made the change, proven as loaded. */
  completed: boolean;
}

/** The same client over another wire. */
export function over(proxy: EdgeProxy, wrapped: Ssh): EdgeProxy {
  const client = nginxProxy({ name: proxy.client.name, target: proxy.lab.target, ssh: wrapped, random });
  return { ...proxy, client };
}

/** Brings NEW in over a wire that is cut, then again as the next run does, and takes it out. */
export async function cut(proxy: EdgeProxy, { command, afterMs }: Cut): Promise<CutReport> {
  const add = (files: Readonly<Record<string, string>>) => addBeside(files, OLD, NEW);
  const losing: Ssh = (request) =>
    request.command === command ? ssh({ ...request, signal: AbortSignal.timeout(afterMs) }) : ssh(request);
  await change(over(proxy, losing), add).catch((error: unknown) => {
    if (!(error instanceof PortError)) throw error;
  });
  const first = await ask(proxy);
  await settled(proxy);
  const { files } = await proxy.client.observe(WAIT);
  const found = proxy.lab.nginx.files.map((path) => files[path]?.includes(NEW) === true);
  const left = found.every(Boolean) ? 'new' : found.some(Boolean) ? 'torn' : 'old';
  await change(proxy, add);
  const after = await proxy.client.observe(WAIT);
  const completed = after.loaded === 'yes' && Object.keys(add(after.files)).length === 0;
  const served: CutReport['served'] = [first, await ask(proxy)];
  await change(proxy, (now) => removeAddress(now, NEW).files);
  return { command, afterMs, left, served, completed };
}

/** A script whose client is gone goes on to its own end. */
async function settled(proxy: EdgeProxy): Promise<void> {
  const lock = join(dirname(proxy.lab.nginx.prefix), 'ssh', 'state', 'lock');
  for (let left = 100; existsSync(lock) && left > 0; left -= 1)
    await new Promise((resolve) => setTimeout(resolve, 50));
}
