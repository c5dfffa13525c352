/**
 * The simulation as one file: what loads modules while it runs would take real time, and the bridge's scripts are
 * texts that the build puts in.
 */
import { join } from 'node:path';
import { build } from 'esbuild';
import { hostScripts } from '../scripts/host-scripts.mjs';

export async function bundleSimulation(root: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [join(root, 'simulate', 'worker.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    define: hostScripts(),
    sourcemap: 'inline',
    logLevel: 'warning',
  });
}
