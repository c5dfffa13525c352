/** A bridge whose images the real Packer builds, with its null and file builders. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { ChangeName, Params } from '../../../agent-bridge/protocol/operations.ts';
import { WAIT, key, rig, until } from '../support/rig.ts';
import type { Rig } from '../support/rig.ts';

export const PACKER = spawnSync('which', ['packer'], { encoding: 'utf8' }).stdout.trim();

export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

export interface Ended {
  ok: boolean;
  error?: string | undefined;
  result?: unknown;
  log: string[];
  id: string;
}

export interface PackerBench {
  readonly host: Rig;
  templateFile(name: string): string;
  /** Writes a file beside the template; gives its path. */
  beside(name: string, text: string | Uint8Array): string;
  /** Writes the template, and bridge.yaml with its image pinned as it is now; the bridge has taken it up. */
  given(name: string, text: string, more?: { sources?: string[]; [key: string]: unknown }): Promise<void>;
  policy(image: object): Promise<void>;
  submit<O extends ChangeName>(op: O, params: Params<O>): Promise<{ op: O; id: string }>;
  /** To the job's end. */
  run<O extends ChangeName>(op: O, params: Params<O>): Promise<Ended>;
  end(job: { op: ChangeName; id: string }): Promise<Ended>;
  /** Waits until the job's log has the words of `BEGUN`. */
  begun(job: { id: string }): Promise<void>;
}

/** Skipped by its name where there is no Packer; with CI=true that is a failure. */
export function onPacker(title: string, suite: (bench: PackerBench) => void): void {
  describe(title, () => {
    let host: Rig | undefined;
    let jobs = 0;
    before(async function () {
      if (PACKER === '' && process.env['CI'] !== 'true') this.skip();
      host = await rig();
      mkdirSync(join(host.dir, 'templates', 'scripts'), { recursive: true });
      await host.start();
    });
    beforeEach(() => {
      bench.host.faults({});
      bench.host.setVms([]);
      // The stand-in counts ids from 1: a record of the test before would be of another VM.
      for (const name of ['images', 'vms', join('data', 'records')])
        rmSync(join(bench.host.dir, name), { recursive: true, force: true });
    });
    after(() => host?.end());

    const bench: PackerBench = {
      get host() {
        if (!host) throw new Error('no host yet');
        return host;
      },
      templateFile: (name) => join(bench.host.dir, 'templates', name),
      beside(name, text) {
        const path = bench.templateFile(name);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, text);
        return path;
      },
      async given(name, text, more = {}) {
        const template = bench.beside(name, text);
        const files = [template, ...(more.sources ?? [])];
        const pin = sha256(files.map((path) => sha256(readFileSync(path))).join('\n'));
        await bench.policy({ template, pin, ...more });
      },
      async policy(image) {
        const config = join(bench.host.dir, 'bridge.yaml');
        const policiesTaken = () => bench.host.log().split('"event":"policy"').length;
        const before = policiesTaken();
        const ubuntu = { user: 'rke', authorizedKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEX'], ...image };
        const old = readFileSync(config, 'utf8');
        const text = old
          .replace(/^ {2}ubuntu: .*$/m, `  ubuntu: ${JSON.stringify(ubuntu)}`)
          .replace(/^packer: .*$/m, `packer: ${realpathSync(PACKER)}`)
          .replace(/imageBuilds: 2,/, 'imageBuilds: 100,');
        if (text === old) return;
        writeFileSync(config, text);
        await until(() => policiesTaken() > before, 'the policy is taken');
      },
      async submit(op, params) {
        jobs += 1;
        return bench.host.client().submit(op, params, key(jobs), WAIT);
      },
      run: async (op, params) => bench.end(await bench.submit(op, params)),
      async end(job) {
        const log: string[] = [];
        const client = bench.host.client();
        const ended = await client.waitFor(job as Parameters<typeof client.waitFor>[0], {
          ...WAIT,
          onLog: (line: string) => log.push(line),
        });
        return ended.kind === 'done'
          ? { ok: true, result: ended.result, log, id: ended.job.id }
          : { ok: false, error: ended.error, log, id: ended.job.id };
      },
      async begun({ id }) {
        const log = join(bench.host.dataDir, 'jobs', id, 'log');
        await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('begun'), 'the script runs');
      },
    };
    suite(bench);
  });
}

/** For a provisioner: the supervisor holds back as many bytes as a secret could be long. */
export const BEGUN = `echo begun ${'.'.repeat(80)}`;

export const shell = (...inline: string[]): object => ({ type: 'shell-local', inline });

/** Legacy JSON; each builder of the type `file` writes one file. */
export const legacy = (builders: object[], ...provisioners: object[]): string =>
  JSON.stringify(
    {
      variables: { vm_name: '', output_directory: '', token: '', motd: '' },
      'sensitive-variables': ['token'],
      builders,
      provisioners,
    },
    undefined,
    2,
  );

/** Processes whose environment says that they belong to this job. */
export const processesOf = (mark: string): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`NODE_CYCLE_JOB=${mark}`) &&
          !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z')
        );
      } catch {
        return false;
      }
    });

/** Everything that the bridge stored of a job, as one text. */
export const storedOf = (host: Rig, id: string): string => {
  const dir = join(host.dataDir, 'jobs', id);
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
};
