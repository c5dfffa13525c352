/** The lab's command line. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '../ports/errors.ts';
import { powerShellAtHand, type PowerShell } from '../test/powershell/engine.ts';

export const SABOTAGES = ['skip-drain', 'old-out-first', 'empty-alias', 'dns-no-ttl-wait'] as const;
export type Sabotage = (typeof SABOTAGES)[number];

export interface LabSettings {
  json?: string | undefined;
  seed: number;
  /** `reject`: the stage (without its slot) whose gate is rejected. */
  approve: { how: 'ask' | 'auto' } | { how: 'reject'; stage: string };
  nodes: number;
  /** Hyper-V hosts, each with its own bridge; the VMs are spread over them. */
  hosts: number;
  /** Task that is killed in its middle; the pipeline is then queued again. */
  kill?: string | undefined;
  deadNode: boolean;
  dryRun: boolean;
  keep: boolean;
  verbose: boolean;
  example?: string | undefined;
  sabotage?: Sabotage | undefined;
  standIns: boolean;
  /** Runs the bridge's scripts; without it they are played. */
  engine?: PowerShell | undefined;
  report: string;
}

export const USAGE = [
  'npm run lab -- [options]',
  '  --json FILE            write the outcome as JSON',
  '  --seed N               another story (default 1)',
  '  --approve ask|auto|reject:STAGE   gates: ask is the default at a terminal, auto elsewhere',
  '  --nodes N              replace up to N nodes, one after the other (1 to 5)',
  '  --hosts N              so many Hyper-V hosts, each with its own bridge (default 1, at most 3)',
  '  --kill TASK            SIGKILL in the middle of that task, then queue the pipeline again',
  '  --dead-node            the oldest node has lost its power',
  '  --dry-run              only print what would be done',
  '  --example DIR          a copy of lab/example, edited: your texts around its placeholders',
  `  --sabotage WHAT        a control that must fail: ${SABOTAGES.join(' | ')}`,
  '  --stand-ins            stand-ins even where the real component is installed',
  '  --engine powershell|model   what runs the bridge’s scripts (default powershell, where it is there)',
  '  --report FILE          where the HTML report goes (default lab-report.html)',
  '  --keep                 leave the lab’s folder behind',
  '  --verbose              also every line of rke and git',
];

const VALUED = [
  'json',
  'seed',
  'approve',
  'nodes',
  'hosts',
  'kill',
  'example',
  'sabotage',
  'engine',
  'report',
];
const FLAGS = ['dead-node', 'dry-run', 'keep', 'stand-ins', 'verbose', 'help'];

/** @returns undefined when help was asked for. Throws NC9001. */
export function readSettings(argv: readonly string[], terminal: boolean): LabSettings | undefined {
  const given = new Map<string, string>();
  for (let i = 0; i < argv.length; i += 1) {
    const [name = '', joined] = (argv[i] ?? '').replace(/^--/, '').split(/=(.*)/s, 2);
    if (!(argv[i] ?? '').startsWith('--') || ![...VALUED, ...FLAGS].includes(name)) {
      throw new CodedError('NC9001', `"${argv[i] ?? ''}" is no option of the lab.`, USAGE);
    }
    const value = FLAGS.includes(name) ? 'true' : (joined ?? argv[(i += 1)]);
    if (value === undefined) throw new CodedError('NC9001', `--${name} needs a value.`, USAGE);
    given.set(name, value);
  }
  if (given.has('help')) return undefined;
  return {
    json: given.get('json'),
    seed: count('seed', given.get('seed') ?? '1', 0, 2 ** 31),
    approve: approval(given.get('approve') ?? (terminal ? 'ask' : 'auto')),
    nodes: count('nodes', given.get('nodes') ?? '1', 1, 5),
    hosts: count('hosts', given.get('hosts') ?? '1', 1, 3),
    kill: given.get('kill'),
    deadNode: given.has('dead-node'),
    dryRun: given.has('dry-run'),
    keep: given.has('keep'),
    verbose: given.has('verbose'),
    example: exampleOf(given.get('example')),
    sabotage: sabotageOf(given.get('sabotage')),
    standIns: given.has('stand-ins'),
    engine: engineOf(given.get('engine'), given.has('stand-ins')),
    report: given.get('report') ?? 'lab-report.html',
  };
}

function count(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new CodedError('NC9001', `--${name} is "${text}"; expected a whole number from ${least} to ${most}.`);
}

function approval(text: string): LabSettings['approve'] {
  if (text === 'ask' || text === 'auto') return { how: text };
  const stage = /^reject:([a-z_]+)$/.exec(text)?.[1];
  if (stage === undefined)
    throw new CodedError('NC9001', `--approve is "${text}"; expected ask, auto or reject:STAGE.`);
  return { how: 'reject', stage };
}

function sabotageOf(text: string | undefined): Sabotage | undefined {
  if (text === undefined) return undefined;
  const found = SABOTAGES.find((one) => one === text);
  if (found === undefined)
    throw new CodedError('NC9001', `--sabotage is "${text}"; expected ${SABOTAGES.join(', ')}.`);
  return found;
}

function engineOf(text: string | undefined, standIns: boolean): PowerShell | undefined {
  if (text !== undefined && text !== 'powershell' && text !== 'model')
    throw new CodedError('NC9001', `--engine is "${text}"; expected powershell or model.`);
  if (text === 'model' || (text === undefined && standIns)) return undefined;
  const found = powerShellAtHand();
  if (typeof found !== 'string') return found;
  if (text === undefined) return undefined;
  throw new CodedError('NC9001', `--engine is "powershell", and there is none: ${found}.`, [
    'The tests build it: npx mocha --spec test/powershell/engine.test.ts',
  ]);
}

/** What the lab must be able to fill in: without it the files would name machines that the lab does not have. */
const EXAMPLE_FILES: readonly (readonly [file: string, placeholders: readonly string[]])[] = [
  ['repository/cluster.yml', ['nodes', 'cluster']],
  ['repository/node-cycle.yml', ['dnsServers', 'gitopsRepository', 'proxyHostKey', 'stateDir']],
  ['gitops/apps/ingress-nginx/values.yaml', []],
  ['bridge.yaml', ['bridgePort', 'nodePublicKey', 'vmRoot']],
  ['http', []],
  ['stream', []],
];

function exampleOf(dir: string | undefined): string | undefined {
  if (dir === undefined) return undefined;
  const wrong = EXAMPLE_FILES.flatMap(([file, placeholders]) => {
    const path = join(dir, file);
    if (!existsSync(path)) return [`${path} is not there`];
    const text = placeholders.length === 0 ? '' : readFileSync(path, 'utf8');
    return placeholders
      .filter((name) => !text.includes(`{{${name}}}`))
      .map((name) => `${path} has no {{${name}}}`);
  });
  if (wrong.length === 0) return dir;
  throw new CodedError('NC9001', `--example is "${dir}"; expected a copy of lab/example, edited.`, wrong);
}
