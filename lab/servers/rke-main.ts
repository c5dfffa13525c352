/** Entry of dist/lab/rke.cjs: `node rke.cjs <control URL> <rke's own arguments>`. */
import { main } from './rke.ts';

const [controlUrl = '', ...argv] = process.argv.slice(2);
main(controlUrl, argv).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`lab rke: ${(error as Error).message}\n`);
    process.exitCode = 70;
  },
);
