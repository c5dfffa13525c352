/** The names under which the observation holds what probes answered. */

/** The ingress of a node, at its own address. */
export function nodeProbe(address: string): string {
  return `node ${address}`;
}

/** What users open, through that proxy. */
export function proxyProbe(name: string, url: string): string {
  return `proxy ${name} ${url}`;
}

/** What users open by that alias, at a member of it. */
export function aliasProbe(name: string, address: string): string {
  return `alias ${name} ${address}`;
}
