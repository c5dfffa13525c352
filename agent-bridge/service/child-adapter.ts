/** This process as the child of a supervisor: a document in, a log and an answer out, files of a build. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { ChildPorts } from '../host/packer/run.ts';
import { JOB_MARK } from '../jobs/processes.ts';
import { childEnvironment } from './system-adapter.ts';

export const childPorts: ChildPorts = {
  async input() {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('utf8');
  },
  write: (text) =>
    new Promise((resolve) => {
      process.stdout.write(text, () => resolve());
    }),
  environment() {
    const mark = process.env[JOB_MARK];
    return { ...childEnvironment(), ...(mark === undefined ? {} : { [JOB_MARK]: mark }) };
  },
  filesBelow: (folder) =>
    fs.existsSync(folder)
      ? fs
          .readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
      : [],
  move: (from, to) => fs.renameSync(from, to),
  setMode: fs.chmodSync,
};
