/**
 * The way out that the agent was configured with: its proxy and its CA, for the `http` port and for git. Without a
 * proxy of the agent, `HTTPS_PROXY` and `NO_PROXY` of the job stand in, which Node by itself does not look at.
 */
import { X509Certificate } from 'node:crypto';
import { CodedError } from '../ports/errors.ts';
import type { HttpOptions } from '../ports/http.ts';
import { openProxy, placeOf } from '../ports/http-proxy.ts';
import type { HttpProxy, Proxy } from '../ports/http-proxy.ts';
import type { Files } from '../ports/ports.ts';
import { PortError } from '../ports/ports.ts';
import { Secret } from '../ports/secret.ts';
import type { PipelineAgent } from './agent.ts';

export interface Network {
  http: HttpOptions;
  /** What git's own connections to this repository need in their environment. */
  forGit(repository: string): Record<string, string>;
}

type Environment = Record<string, string | undefined>;

/** @throws CodedError NC5007 when a setting cannot be used; going round it unasked would be worse. */
export async function networkOf(
  agent: Pick<PipelineAgent, 'network' | 'mask'>,
  files: Pick<Files, 'read'>,
  env: Environment,
): Promise<Network> {
  const { proxy: configured, caFile } = agent.network();
  const given = configured ?? proxyOf(env);
  const proxy = given === undefined ? undefined : opened(given);
  if (proxy !== undefined) for (const secret of secretsOf(proxy)) agent.mask(secret);
  return {
    http: { proxy: given, ca: caFile === undefined ? undefined : await authorities(files, caFile, env) },
    forGit: (repository) => gitEnvironment(repository, proxy, caFile),
  };
}

/** The password in each form in which it goes out. */
function secretsOf({ address, authorization }: Proxy): Secret[] {
  const { password } = new URL(address.reveal());
  if (password === '' || authorization === undefined) return [];
  const header = authorization.reveal().replace('Basic ', '');
  return [password, decodeURIComponent(password), header].map((text) => new Secret(text));
}

function opened(given: HttpProxy): Proxy {
  try {
    return openProxy(given);
  } catch (error) {
    if (!(error instanceof PortError)) throw error;
    throw new CodedError('NC5007', `Expected another proxy: ${error.message}.`);
  }
}

/** Given to Node as a list, these replace what NODE_EXTRA_CA_CERTS adds to its roots: so it comes with them. */
async function authorities(files: Pick<Files, 'read'>, caFile: string, env: Environment): Promise<string[]> {
  const extra = env['NODE_EXTRA_CA_CERTS'];
  const own = await certificatesIn(files, caFile);
  if (extra === undefined || extra === '' || extra === caFile) return own;
  // Node itself only warns when this one cannot be read.
  return [...own, ...(await certificatesIn(files, extra).catch(() => []))];
}

async function certificatesIn(files: Pick<Files, 'read'>, path: string): Promise<string[]> {
  const refuse = (found: string) =>
    new CodedError('NC5007', `Expected certificates in PEM in the CA file ${path}: ${found}.`);
  const bytes = await files.read(path).catch((error: unknown) => {
    throw refuse(error instanceof Error ? error.message : String(error));
  });
  const found = Buffer.from(bytes)
    .toString('latin1')
    .match(/-----BEGIN (TRUSTED )?CERTIFICATE-----[^-]+-----END \1?CERTIFICATE-----/g);
  if (found === null) throw refuse('it holds none');
  for (const [index, certificate] of found.entries())
    try {
      new X509Certificate(certificate);
    } catch {
      throw refuse(`number ${index + 1} is none`);
    }
  return found;
}

function gitEnvironment(
  repository: string,
  proxy: Proxy | undefined,
  caFile: string | undefined,
): Record<string, string> {
  const url = /^https?:/i.test(repository) && URL.canParse(repository) ? new URL(repository) : undefined;
  if (url === undefined) return {};
  const env: Record<string, string> = {};
  if (proxy !== undefined && !proxy.bypasses(url, placeOf(url)))
    // Both: a server may send git from http to https. The command line would show the password to every account.
    env['http_proxy'] = env['https_proxy'] = proxy.address.reveal();
  // Instead of the system's, as in the agent's own checkout.
  if (caFile !== undefined) env['GIT_SSL_CAINFO'] = env['GIT_PROXY_SSL_CAINFO'] = caFile;
  return env;
}

function proxyOf(env: Environment): HttpProxy | undefined {
  const url = env['https_proxy'] ?? env['HTTPS_PROXY'];
  if (url === undefined || url === '') return undefined;
  const past = env['no_proxy'] ?? env['NO_PROXY'] ?? '';
  const bypass = past.split(/[,\s]+/).flatMap((entry) => (entry === '' ? [] : [patternOf(entry)]));
  return { url, bypass };
}

/** A name holds for itself and everything below it, for one port or all; addresses are names, ranges are not known. */
function patternOf(entry: string): string {
  if (entry === '*') return '.*';
  const [, name = '', port] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  const host = name.replace(/[.+?^${}()|[\]\\*]/g, '\\$&');
  // The scheme's own port does not stand in what is matched.
  const ports =
    port === undefined ? '(:\\d+)?' : port === '443' || port === '80' ? `(:${port})?` : `:${port}`;
  return `^https?://([^/]*\\.)?${host}${ports}$`;
}
