/** Changes of the edges: the proxies over SSH, the GitOps values, DNS. */
import { CodedError } from '../../ports/errors.ts';
import { newServerServes } from '../edge/nginx/prove.ts';
import { connectionsTo, type Proxy, type Prove } from '../edge/nginx/proxy.ts';
import { membersAfter, type Swap } from '../edge/dns/zone.ts';
import { requestSync } from '../edge/gitops/observe-sync.ts';
import { waitMs, type Context } from '../context.ts';
import { isoTime } from '../time.ts';
import { Refused, refuse } from '../step.ts';
import { askProbe, probesOf, userProbeRequest } from '../probe.ts';
import type { ProxyChange } from '../steps/update-ingress.ts';
import { byHand, editFile } from './git.ts';
import { requireLock } from './facts.ts';

const PROXY_MS = 30_000;
const DNS_MS = 30_000;

function proxyNamed(ctx: Context, name: string): Proxy {
  const found = ctx.proxies.find((proxy) => proxy.name === name);
  if (found === undefined) throw new CodedError('NC1001', `No proxy is called ${name}.`);
  return found;
}

export async function changeProxy(
  ctx: Context,
  name: string,
  { edit, serves }: ProxyChange,
  signal: AbortSignal,
): Promise<void> {
  const proxy = proxyNamed(ctx, name);
  const wait = waitMs(PROXY_MS, signal);
  await requireLock(ctx, signal);
  const seen = await proxy.observe(wait);
  const changed = edit(seen.files);
  if (Object.keys(changed).length === 0 && seen.loaded === 'yes') return;
  const outcome = await proxy.apply(changed, seen, wait, proofOf(ctx, proxy, serves, signal));
  if (outcome === 'reloaded') return;
  // Somebody else edited at the same moment: what was read is stale, and the engine reads again.
  if (outcome.refused === 'changed' || outcome.refused === 'busy')
    throw new CodedError('NC1250', `${name}: its files were changed by somebody else (${outcome.refused}).`, [
      outcome.output,
    ]);
  // One lost answer is no reason to end a cycle: the engine tries it once more.
  if (outcome.refused === 'probe' && outcome.restored)
    throw new CodedError(
      'NC1251',
      `${name}: after the reload users were not served, so the old files are back: ${outcome.output.split('\n')[0] ?? ''}`,
    );
  throw new Refused(
    refuse(
      'NC1251',
      `${name} did not take the new configuration (${outcome.refused}); ${outcome.restored ? 'the old one is in place and serves' : 'the old one could NOT be put back'}.`,
      [
        ...outcome.output.split('\n').slice(0, 10),
        ...(outcome.restored
          ? Object.entries(changed).flatMap(([path, text]) => byHand(path, seen.files[path] ?? '', text))
          : Object.entries(seen.files).map(([path, text]) => `${path} was:\n${text}`)),
      ],
    ),
  );
}

/** Without a configured probe the reload itself is the proof: nobody has said what the proxy should answer. */
function proofOf(
  ctx: Context,
  proxy: Proxy,
  serves: string | undefined,
  signal: AbortSignal,
): Prove | undefined {
  const configured = ctx.config.proxies.find(({ name }) => name === proxy.name);
  if (serves === undefined || configured === undefined || probesOf(configured).length === 0) return undefined;
  const requests = probesOf(configured).map((probe) => userProbeRequest(probe, configured.host));
  const ask = async () => {
    for (const request of requests) {
      const said = await askProbe(ctx.ports, request, signal);
      if (said !== 'ok') return `${request.url}: ${said}`;
    }
    return 'ok';
  };
  return newServerServes({ proxy, address: serves, ask });
}

/** Connections that go on past the deadline are cut when the server is taken out; that is what the deadline says. */
export async function drainProxy(
  ctx: Context,
  name: string,
  address: string,
  signal: AbortSignal,
): Promise<void> {
  const proxy = proxyNamed(ctx, name);
  const { clock } = ctx.ports;
  const seconds = ctx.config.proxies.find((candidate) => candidate.name === name)?.drainSeconds ?? 300;
  const deadlineMs = clock.now() + seconds * 1000;
  let last = -1;
  for (;;) {
    const open = connectionsTo(await proxy.observe(waitMs(PROXY_MS, signal)), address);
    if (open === 0) return;
    if (open !== last) ctx.say(`${name}: ${open} connections to ${address} are still open`);
    last = open;
    if (clock.now() >= deadlineMs) {
      ctx.say(`${name}: ${open} connections to ${address} outlived ${seconds} s`);
      return;
    }
    await clock.sleep(ctx.config.pace.pollMs, signal);
  }
}

export async function editValues(
  ctx: Context,
  edit: (text: string) => string,
  message: string,
  signal: AbortSignal,
): Promise<void> {
  const { ingress } = ctx.config;
  if (ingress === undefined || ctx.gitops === undefined)
    throw new CodedError('NC1001', 'No GitOps repository is configured.');
  const before = async () => {
    await requireLock(ctx, signal);
  };
  const { gitops: repo, reviews } = ctx;
  await editFile(ctx, { repo, review: reviews.gitops, path: ingress.file, edit, message, before }, signal);
}

export async function changeDns(ctx: Context, change: Swap, signal: AbortSignal): Promise<void> {
  if (ctx.dns === undefined) throw new CodedError('NC1001', 'No DNS zone is configured.');
  await requireLock(ctx, signal);
  const outcome = await ctx.dns.swap(change, waitMs(DNS_MS, signal));
  if (outcome === 'swapped') return;
  if (outcome.refused === 'stale')
    throw new CodedError('NC1250', `${change.name} was changed by somebody else.`, [outcome.detail]);
  if (outcome.refused === 'unreachable')
    throw new CodedError('NC4040', `${change.name} was not changed: ${ctx.dns.primary} did not answer.`, [
      outcome.detail,
    ]);
  throw new Refused(
    refuse('NC1252', `The server of ${ctx.dns.zone} refused to change ${change.name} (${outcome.refused}).`, [
      outcome.detail,
      `it holds: ${change.expectType ?? change.type} ${change.expect.join(', ') || 'nothing'}`,
      `it should hold: ${change.type} ${membersAfter(change).join(', ')}, with a TTL of ${change.ttl} s`,
    ]),
  );
}

export async function askForSync(ctx: Context, signal: AbortSignal): Promise<void> {
  if (ctx.gitops === undefined) return;
  const tip = await ctx.gitops.tip(waitMs(PROXY_MS, signal));
  await requestSync(ctx, tip, isoTime(ctx.ports.clock.now()), signal);
}
