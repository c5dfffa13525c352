/** Checks of the reservation service: what it is asked with must hold what it is asked for. */
import type { Config } from './schema.ts';
import type { Finding } from './issues.ts';
import { webFault } from './forms.ts';
import { shown } from './words.ts';

export function reservationChecks(addresses: Config['addresses']): Finding[] {
  if (addresses.source !== 'reservation') return [];
  const { service } = addresses;
  const out: Finding[] = [];
  const add = (path: (string | number)[], expected: string | undefined, value: string) => {
    if (expected !== undefined)
      out.push({ code: 'NC1123', path: ['addresses', 'service', ...path], expected, found: shown(value) });
  };
  if (service.kind === 'command') {
    const [program = ''] = service.run;
    const plain = program.startsWith('/') || !(program.includes('/') || program.startsWith('-'));
    if (!plain || /[\s\u0000-\u001f]/.test(program))
      add(
        ['run', 0],
        'the name or the absolute path of a program; its arguments are entries of their own',
        program,
      );
    return out;
  }
  add(['url'], urlFault(service.url), service.url);
  const { reserve, release, find } = service;
  add(['reserve', 'path'], unknownPlaceholder(reserve.path, 'name'), reserve.path);
  add(['release', 'path'], unknownPlaceholder(release.path, 'mac'), release.path);
  if (release.method === 'DELETE' && !release.path.includes('{mac}'))
    add(['release', 'path'], 'a path with {mac}, since a DELETE has no body', release.path);
  if (find !== undefined) {
    add(['find', 'path'], unknownPlaceholder(find.path, 'name'), find.path);
    if (!find.path.includes('{name}')) add(['find', 'path'], 'a path with {name}', find.path);
  }
  return out;
}

/** The token goes with every request, so only the agent itself may be spoken to in clear. */
function urlFault(url: string): string | undefined {
  const fault = webFault(url);
  if (fault !== undefined) return fault;
  const { protocol, hostname, search } = new URL(url);
  if (search !== '') return 'a URL without ?, which belongs into the paths';
  const loopback = /^127(\.\d+){3}$/.test(hostname) || hostname === '[::1]' || hostname === 'localhost';
  return protocol === 'https:' || loopback
    ? undefined
    : 'https, or http to an address of the agent itself (127.0.0.1)';
}

function unknownPlaceholder(path: string, known: string): string | undefined {
  const others = (path.match(/\{[^{}]*\}?/g) ?? []).filter((token) => token !== `{${known}}`);
  return others.length === 0 ? undefined : `the placeholder {${known}} and no other`;
}
