/**
 * Texts that end up on a command line, in a URL or in a git command. Each function gives what was expected, as
 * words, when a text must not be used, and undefined when it may.
 */

/** A file of the repository, named from its root. */
export function pathFault(path: string): string | undefined {
  if (/^([/~]|[A-Za-z]:)/.test(path) || path.includes('\\'))
    return 'a path inside the repository, relative to its root, with / between folders';
  const parts = path.split('/');
  if (parts.includes('..')) return 'a path inside the repository, without ..';
  if (parts.some((part) => part === '' || part === '.'))
    return 'a plain path without empty parts and without ./';
  if (parts[0] === '.git') return 'a file that git keeps, not one of git itself';
  if (path.startsWith('-')) return 'a path that a program cannot take for an option (no - first)';
  return /[\u0000-\u001f\u007f]/.test(path) ? 'a path without control characters' : undefined;
}

/** A branch's name, by the rules of `git check-ref-format --branch`. */
export function branchFault(branch: string): string | undefined {
  if (branch.startsWith('-')) return 'a branch that git cannot take for an option (no - first)';
  if (branch.startsWith('refs/')) return 'the short name of a branch, such as main';
  const bad =
    /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|^\/|\/$|\.$|^@$/.test(branch) ||
    branch.split('/').some((part) => part.startsWith('.') || part.endsWith('.lock'));
  return bad ? 'a name that git accepts for a branch' : undefined;
}

/** A host as an address or a name; never something that a program reads as an option or a URL. */
export function hostFault(host: string): string | undefined {
  if (/^\d+(\.\d+){3}$/.test(host) && host.split('.').some((part) => Number(part) > 255))
    return 'an IPv4 address of four numbers from 0 to 255';
  if (/^\[[0-9a-f:.]+\]$/i.test(host)) return undefined;
  return /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i.test(host)
    ? undefined
    : 'the address or the name of a host, without scheme, port or path';
}

export function userFault(user: string): string | undefined {
  return /^[a-z_][a-z0-9_.-]*$/i.test(user) ? undefined : 'the name of an account';
}

/** A URL that a probe can be sent to. */
export function webFault(url: string): string | undefined {
  const parsed = parseUrl(url);
  if (parsed === undefined || parsed.hostname === '' || !/^https?:$/.test(parsed.protocol))
    return 'a URL with http:// or https:// and a host';
  if (parsed.username !== '' || parsed.password !== '') return 'a URL without a user name or password';
  return parsed.hash === '' ? undefined : 'a URL without #, which is never sent';
}

/** What a probe opens: a web page, or a bare connection (`tcp`, `tls`). */
export function probeFault(url: string): string | undefined {
  const parsed = parseUrl(url);
  if (parsed === undefined || !/^(tcp|tls):$/.test(parsed.protocol))
    return webFault(url) === undefined
      ? undefined
      : webFault(url)?.replace('http:// or https://', 'http://, https://, tcp:// or tls://');
  if (
    parsed.hostname === '' ||
    parsed.username !== '' ||
    !/^\/?$/.test(parsed.pathname + parsed.search + parsed.hash)
  )
    return `a host and nothing behind it, such as ${parsed.protocol}//shop.example:9000`;
  return parsed.protocol === 'tcp:' && parsed.port === ''
    ? 'a port, which tcp:// has none of its own'
    : undefined;
}

/** A git repository: https, http, ssh or git, `user@host:path`, or a path. */
export function repositoryFault(repository: string): string | undefined {
  if (repository.startsWith('-')) return 'a repository that git cannot take for an option (no - first)';
  if (/[\u0000-\u0020\u007f]/.test(repository)) return 'the URL or path of a git repository, without spaces';
  if (/^[a-z0-9+.-]+::/i.test(repository)) return 'a URL, not a remote helper, which would start a program';
  if (!repository.includes('://')) return undefined;
  const parsed = parseUrl(repository);
  if (parsed === undefined || !/^(https?|ssh|git|file):$/.test(parsed.protocol))
    return 'a URL with https, http, ssh, git or file';
  return parsed.password === ''
    ? undefined
    : 'a URL without a password: the credential comes from the service connection';
}

/** The host of a repository's URL, undefined when it has none. */
export function hostOf(repository: string): string | undefined {
  if (repository.includes('://')) return parseUrl(repository)?.hostname || undefined;
  return /^(?:[^@/]+@)?([^:/]+):/.exec(repository)?.[1];
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
