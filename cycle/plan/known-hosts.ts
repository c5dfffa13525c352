/** Pinned host keys, in the form of OpenSSH's known_hosts, one plain entry a line. Pure. */

/** As known_hosts names a host: bare for port 22, else `[host]:port`. */
export function hostEntry(address: string, port: number): string {
  return port === 22 ? address : `[${address}]:${port}`;
}

/** The keys (`type base64`) that are pinned for an address. Hashed and pattern entries pin nothing here. */
export function pinnedKeys(text: string, address: string, port: number): string[] {
  const wanted = hostEntry(address, port);
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('@'))
    .flatMap((line) => {
      const [hosts = '', type, key] = line.split(/\s+/);
      return hosts.split(',').includes(wanted) && type !== undefined && key !== undefined
        ? [`${type} ${key}`]
        : [];
    });
}

/** The text with these keys as the only ones of that address; every other line stays. */
export function pinHost(text: string, address: string, port: number, keys: readonly string[]): string {
  const kept = unpinHost(text, address, port);
  const separator = kept === '' || kept.endsWith('\n') ? '' : '\n';
  return `${kept}${separator}${keys.map((key) => `${hostEntry(address, port)} ${key}\n`).join('')}`;
}

/** The text without the lines that pin only this address. */
export function unpinHost(text: string, address: string, port: number): string {
  const wanted = hostEntry(address, port);
  return text
    .split(/(?<=\n)/)
    .filter((line) => line.trim().split(/\s+/)[0] !== wanted)
    .join('');
}

/** The text without the lines that pin only this address, at any port. */
export function forgetAddress(text: string, address: string): string {
  return text
    .split(/(?<=\n)/)
    .filter((line) => {
      const host = line.trim().split(/\s+/)[0] ?? '';
      return host !== address && !(host.startsWith(`[${address}]:`) && !host.includes(','));
    })
    .join('');
}
