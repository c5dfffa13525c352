/** docs/operations.md as text: the bridge's operations, derived from their one definition. */
import type * as z from 'zod/mini';
import { BODY_LIMIT_BYTES } from '../agent-bridge/protocol/canonical.ts';
import type { Operation, Rule } from '../agent-bridge/protocol/operation.ts';
import { CHANGES, OPERATIONS, READS } from '../agent-bridge/protocol/operations.ts';
import * as wire from '../agent-bridge/protocol/wire.ts';
import type { JobError, RefusalCode } from '../agent-bridge/protocol/wire.ts';
import { refused } from '../agent-bridge/server/answers.ts';
import { RULES } from '../agent-bridge/server/decide.ts';
import { row } from './table.ts';
import { notation, typeText, typesTable } from './types-in-words.ts';

/** What a rule asks of a value, for any client; `bridge check` says it for one. */
const RULE_WORDS: Record<Rule, string> = {
  clusters: 'one of the client’s clusters',
  names: 'fits one of the client’s patterns; `*` is any letters, digits and hyphens',
  sizes: 'one of the client’s sizes',
  images: 'one of the client’s images',
  addressRanges: 'in one of the client’s ranges, and in the subnet of one of its `switches`',
  macPrefixes: 'begins with one of the client’s prefixes',
  ownVm: 'a VM of that cluster that the bridge made or a person adopted',
  zones: 'a zone of one of the client’s entries',
  dnsNames: 'fits one of the `names` of that zone’s entry',
  dnsTypes: 'one of the `types` of that zone’s entry',
  dnsData: 'A: in the client’s `addressRanges`; CNAME: fits one of the `targets` of that zone’s entry',
  ttl: 'at most `maxTtlSeconds` of that zone’s entry',
  fence: 'not lower than any seen for that cluster, and not far above it',
  ofItsType: 'any value of its type',
};

/** Rules that no line of the policy bounds: a number in the log does, or the type alone. */
const WITHOUT_KEY: ReadonlySet<Rule> = new Set<Rule>(['fence', 'ofItsType']);

const REFUSALS: Record<RefusalCode, string> = {
  badRequest: 'The request is none of those above.',
  tooLarge: 'The body or the headers are longer than any of ours.',
  notCanonical: 'The body is not the canonical JSON of its meaning.',
  unknownOperation: 'No operation of this kind has that name.',
  badParams: 'A parameter is missing, unknown, or not of its type.',
  notGranted: 'bridge.yaml does not grant the operation, or not with this value.',
  budgetSpent: 'The client’s budget of the last 24 hours is spent.',
  fenceTooLow: 'A later run has taken the cluster over.',
  fenceTooHigh: 'The number is further above the last one than take-overs of a lock can bring it.',
  keyReused: 'The key belongs to a job with other parameters.',
  queueFull: 'As many jobs wait in this lane as may.',
  busy: 'The host has no room for one more at this moment.',
  notFound: 'There is no such path, and no such job of this client.',
  hostFailed: 'A script of a read did not succeed; its words stay on the host.',
  logUnwritable: 'The log cannot be written, so nothing is done.',
};

const JOB_ERRORS: Record<JobError, string> = {
  notFound: 'What it acts on is not there.',
  notOurs: 'The VM is not one that the bridge made or a person adopted.',
  nameTaken: 'A VM has that name already.',
  addressTaken: 'A VM has that address or MAC already.',
  noCapacity: 'Memory or disk would fall below what bridge.yaml keeps free.',
  tooManyRunning: 'The client has `maxRunningVms` running.',
  imageMissing: 'The image was never built.',
  setChanged: 'The records, or the notes, are not the expected ones any more.',
  wouldBeEmpty: 'The name would lose its last record.',
  setAside: 'The VM is set aside.',
  replicated: 'The VM is replicated to another host.',
  scriptFailed: 'The script ended without success and without one of these codes.',
  noResult: 'The script said success and gave no result.',
  badResult: 'The script’s result does not have its shape.',
  timedOut: 'It did not end within its deadline and was ended.',
  supervisorLost: 'Its supervisor ended without a word; what it ran was ended.',
  cancelled: 'The client asked for its end.',
  cleanUpFailed: 'It did not succeed, and something of it could not be removed.',
  diskFull: 'The host’s disk is full.',
  scriptChanged: 'a script on the host is not this version’s; nothing was run',
  denied: 'The host refused the bridge’s account.',
  unreachable: 'The DNS server did not answer.',
  notPinned: 'The image’s template, or something that it uses, is not pinned in bridge.yaml.',
  secretMissing: 'A secret that the image’s build needs is not on the host.',
  templateChanged: 'The template or one of its files is not the one that bridge.yaml pins.',
  templateInvalid: 'Packer does not accept the template.',
  baseChanged: 'The medium or disk that the image is built on is not the one that is pinned.',
  builderFailed: 'Packer’s builder did not bring the machine up.',
  provisionerFailed: 'A provisioner of the template failed.',
  noDisk: 'Packer ended well and left no disk.',
  wrongExport:
    'What Packer exported is not one VM of generation 2 with one adapter, no checkpoint, and its disks beside it.',
};

const V = wire.PROTOCOL_PATH;

/** Method, path, what is sent, what is answered. */
export const REQUESTS: readonly (readonly [string, string, string, string])[] = [
  ['POST', `${V}/read/{operation}`, 'the parameters', '200 and the result'],
  [
    'POST',
    `${V}/jobs`,
    `\`{"op":…,"params":…}\`, header \`${wire.KEY_HEADER}\` (64 hex digits)`,
    '202 and a job; 200 when the same key brought the same job before',
  ],
  [
    'GET',
    `${V}/jobs/{id}?waitMs=N`,
    '',
    `200 and the job; held until it ends, ${seconds(wire.WAIT_LIMIT_MS)} at most`,
  ],
  [
    'GET',
    `${V}/jobs/{id}/log?offset=N&waitMs=N`,
    '',
    `200 and bytes from N, ${wire.LOG_CHUNK_BYTES / 1024 ** 2} MB at most; \`${wire.LOG_END_HEADER}: 1\` when no more will come`,
  ],
  ['POST', `${V}/jobs/{id}/cancel`, '', '200 and the job'],
];

export function operationsDocument(): string {
  return [
    '# Operations of the bridge',
    '',
    'Generated from `agent-bridge/protocol/operations.ts` by `npm run generate`. These are all the operations there are; what a client may do of them stands in `bridge.yaml` ([host.md](host.md)). `node bridge.cjs check` says it in words, and `node bridge.cjs explain CLIENT OPERATION PARAMS.json` judges one request.',
    '',
    ...overview(),
    '',
    '## Requests',
    '',
    `HTTPS, TLS 1.3, with the client’s certificate. A body is canonical JSON: UTF-8, keys sorted, no white space, ${BODY_LIMIT_BYTES / 1024} KB at most; any other spelling is refused. Each answer carries \`${wire.LOG_HEAD_HEADER}: seq:hash\`, the head of the bridge’s log.`,
    '',
    '| request | sent | answer |',
    '| --- | --- | --- |',
    ...REQUESTS.map(([method, path, sent, answer]) => row([`${method} \`${path}\``, sent, answer])),
    '',
    'A job is a [JobView](#types).',
    ...Object.values(READS).flatMap((operation) => chapter(operation as unknown as Operation)),
    ...Object.values(CHANGES).flatMap((operation) => chapter(operation as unknown as Operation)),
    '',
    '## Refusals',
    '',
    'Nothing was made and nothing was run. The body is JSON: `code`, and where they apply `field` (the parameter), `rule` and `line` (of `bridge.yaml`); nothing else.',
    '',
    '| code | status | meaning |',
    '| --- | --- | --- |',
    ...wire.RefusalCode.options.map((code) =>
      row([`\`${code}\``, String(refused({ code }).status), REFUSALS[code]]),
    ),
    '',
    '## Errors of jobs',
    '',
    'A job that did not succeed has one of these, its `JobError`. Everything else that was said stands in its log.',
    '',
    '| error | meaning |',
    '| --- | --- |',
    ...wire.JobError.options.map((code) => row([`\`${code}\``, JOB_ERRORS[code]])),
    '',
    '## Types',
    '',
    'What does not fit its type reaches no script. Their exact forms stand in `agent-bridge/protocol/shapes.ts`.',
    '',
    ...typesTable(),
    '',
  ].join('\n');
}

function overview(): string[] {
  const rows = [...OPERATIONS.values()].map(({ name, does, kind, lane, budget, deadlineMs }) =>
    row([
      `[\`${name}\`](#${name.replaceAll('.', '')})`,
      does,
      kind,
      lane ?? '',
      budget ?? '',
      seconds(deadlineMs),
    ]),
  );
  return [
    '| operation | what it does | kind | lane | budget | deadline |',
    `|${' --- |'.repeat(6)}`,
    ...rows,
  ];
}

function chapter({
  name,
  does,
  kind,
  params,
  result,
  lane,
  budget,
  deadlineMs,
  redact,
}: Operation): string[] {
  const facts =
    kind === 'read'
      ? `A read: answered at once, no job and no entry in the log. Deadline ${seconds(deadlineMs)}.`
      : `A change: a job in the lane \`${lane ?? ''}\`, one at a time. It is charged to \`budgets.${budget ?? ''}\` of the client when it is accepted, and never refunded. Deadline ${seconds(deadlineMs)}.`;
  const shown =
    redact.length === 0
      ? 'The log shows every parameter.'
      : `The log shows \`***\` for ${redact.map((one) => `\`${one}\``).join(', ')}.`;
  const rows = Object.entries(params).map(([parameter, { schema, rule }]) => {
    const key = WITHOUT_KEY.has(rule) ? '' : `\`${RULES[rule].key}\``;
    return row([`\`${parameter}\``, typeText(schema), RULE_WORDS[rule], key]);
  });
  return [
    '',
    `## ${name}`,
    '',
    `${does} ${facts}${kind === 'read' ? '' : ` ${shown}`}`,
    '',
    ...(rows.length === 0
      ? ['No parameters.']
      : ['| parameter | value | must be | by the client’s key |', '| --- | --- | --- | --- |', ...rows]),
    '',
    'Result:',
    '',
    ...block(result),
  ];
}

const block = (schema: z.core.$ZodType): string[] => ['```', notation(schema, '', true), '```'];

function seconds(ms: number): string {
  return ms % 60_000 === 0 ? `${ms / 60_000} min` : `${ms / 1_000} s`;
}
