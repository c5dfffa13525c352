/**
 * What a node said of itself, read out of the answer to command.ts. Nothing is guessed: what cannot be told from the
 * answer is unknown, with the reason where it matters.
 */

export type Known = string & {};

export interface NodeEvidence {
  /** PRETTY_NAME and VERSION_ID of os-release. */
  os: Known;
  osVersion: Known;
  kernel: Known;
  openssl: Known;
  /** `docker 20.10.24`, `none`, or unknown. */
  runtime: Known;
  /** UTC. */
  bootedAt: Known;
  /** Packages with a security update that is not installed. */
  securityUpdates: number | 'unknown';
  /** How that is known, or why not. */
  securityUpdatesBy: string;
}

export const UNKNOWN = 'unknown';

/** Lists that are older say what was pending then, not what is pending now. */
const LISTS_FRESH_SECONDS = 24 * 3600;
const LONGEST_VALUE = 120;

type Parts = ReadonlyMap<string, readonly string[]>;

export function readEvidence(stdout: string): NodeEvidence {
  const parts = split(stdout);
  const release = osRelease(parts.get('os') ?? []);
  const updates = securityUpdates(parts);
  return {
    os: shown(release.get('PRETTY_NAME') ?? release.get('NAME')),
    osVersion: shown(release.get('VERSION_ID')),
    kernel: shown(first(parts, 'kernel')),
    openssl: shown(/^(?:Open|Libre)SSL \S+/.exec(first(parts, 'openssl') ?? '')?.[0]),
    runtime: runtime(parts),
    bootedAt: bootedAt(parts),
    securityUpdates: updates.count,
    securityUpdatesBy: updates.by,
  };
}

/** As the run's record shows it. */
export function evidenceFacts(evidence: NodeEvidence): Record<string, string> {
  return {
    os: evidence.os,
    'os version': evidence.osVersion,
    kernel: evidence.kernel,
    openssl: evidence.openssl,
    'security updates pending': `${evidence.securityUpdates} (${evidence.securityUpdatesBy})`,
    'container runtime': evidence.runtime,
    'booted at': evidence.bootedAt,
  };
}

function split(stdout: string): Parts {
  const parts = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of stdout.split(/\r?\n/)) {
    const name = /^=== ([a-z]+)$/.exec(line)?.[1];
    if (name !== undefined) {
      current = [];
      // The first of a name counts: what follows in a file's own text cannot replace it.
      if (!parts.has(name)) parts.set(name, current);
    } else if (line.trim() !== '') current.push(line);
  }
  return parts;
}

function first(parts: Parts, name: string): string | undefined {
  return parts.get(name)?.[0];
}

/** The exit code that stands at the end of a part; undefined when the part was cut off. */
function exitOf(lines: readonly string[]): number | undefined {
  const code = /^exit (\d+)$/.exec(lines.at(-1) ?? '')?.[1];
  return code === undefined ? undefined : Number(code);
}

/** Text of a machine: one line, short, printable. */
function shown(value: string | undefined): Known {
  const line = (value ?? '').replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
  return line === '' ? UNKNOWN : line.slice(0, LONGEST_VALUE);
}

/** `KEY=value` with the quoting of a shell, as os-release(5) says. */
function osRelease(lines: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of lines) {
    const [, key, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim()) ?? [];
    if (key === undefined || value === undefined) continue;
    const quoted = /^(["'])(.*)\1$/.exec(value);
    const text = quoted?.[2] ?? value;
    found.set(key, quoted?.[1] === "'" ? text : text.replace(/\\(.)/g, '$1'));
  }
  return found;
}

/** The daemon's own word first: a client may be of another version. */
function runtime(parts: Parts): Known {
  const programs = ['docker', 'dockerd', 'containerd', 'crio'];
  for (const name of programs) {
    const lines = parts.get(name) ?? [];
    if (exitOf(lines) !== 0) continue;
    const version = /(?<![\d.])\d+\.\d+(\.\d+)?[\w.+~-]*/.exec(lines[0] ?? '')?.[0];
    if (version !== undefined) return shown(`${name === 'dockerd' ? 'docker' : name} ${version}`);
  }
  const asked = parts.has('runtimes');
  return asked && !programs.some((name) => parts.has(name)) ? 'none' : UNKNOWN;
}

function bootedAt(parts: Parts): Known {
  const seconds = /^btime (\d{1,11})$/.exec(first(parts, 'boot') ?? '')?.[1];
  return seconds === undefined ? UNKNOWN : new Date(Number(seconds) * 1000).toISOString();
}

interface Updates {
  count: number | 'unknown';
  by: string;
}

function securityUpdates(parts: Parts): Updates {
  const apt = parts.get('apt');
  if (apt !== undefined) return ofApt(parts, apt);
  const dnf = parts.get('dnf');
  if (dnf !== undefined) return ofDnf(parts, dnf);
  return { count: UNKNOWN, by: 'neither apt-get nor dnf' };
}

function ofApt(parts: Parts, apt: readonly string[]): Updates {
  const why = whyListsDoNotTell(parts);
  if (why !== undefined) return { count: UNKNOWN, by: why };
  if (exitOf(apt) === 0) {
    // Inst openssl [3.0.2-0ubuntu1.10] (3.0.2-0ubuntu1.12 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])
    const security = apt.filter((line) => /^Inst \S+ .*\([^)]*-[Ss]ecurity\b/.test(line));
    return { count: security.length, by: 'apt-get' };
  }
  const counted = /^(\d+);(\d+)$/.exec(first(parts, 'aptcheck') ?? '')?.[2];
  return counted === undefined
    ? { count: UNKNOWN, by: `apt-get ended with ${exitOf(apt) ?? 'nothing'}` }
    : { count: Number(counted), by: 'apt-check' };
}

/** Without lists of the security archive, or with old ones, apt finds nothing to do whatever is pending. */
function whyListsDoNotTell(parts: Parts): string | undefined {
  const lists = parts.get('aptlists') ?? [];
  if (!lists.some((name) => /-security_.*_Packages(\.\w+)?$/.test(name)))
    return 'no package lists of the security archive';
  const now = /^\d{1,11}$/.exec(first(parts, 'now') ?? '')?.[0];
  const read = lists.flatMap((line) => /^read (\d{1,11})$/.exec(line)?.[1] ?? []).map(Number);
  if (now === undefined || read.length === 0) return 'the age of the package lists is unknown';
  const newest = Math.max(...read);
  return Number(now) - newest <= LISTS_FRESH_SECONDS
    ? undefined
    : `the package lists are of ${new Date(newest * 1000).toISOString()}`;
}

/** dnf 4: `RHSA-2024:1 Important/Sec. pkg`; dnf 5: a table `Name Type Severity Package Issued`. */
function ofDnf(parts: Parts, lines: readonly string[]): Updates {
  if (exitOf(lines) !== 0) return { count: UNKNOWN, by: `dnf ended with ${exitOf(lines) ?? 'nothing'}` };
  const packages = lines.flatMap((line) => {
    const [, type = '', third = '', fourth = ''] = line.trim().split(/\s+/);
    if (/\/Sec\.$/.test(type)) return third === '' ? [] : [third];
    return type === 'security' && fourth !== '' ? [fourth] : [];
  });
  // Some distributions publish no advisories at all: then an empty list says nothing.
  if (packages.length === 0 && first(parts, 'advisories') === undefined)
    return { count: UNKNOWN, by: 'the repositories have no advisories' };
  return { count: new Set(packages).size, by: 'dnf' };
}
