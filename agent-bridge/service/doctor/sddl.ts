/** Who may do what with a file on Windows, read from its security descriptor in SDDL form ([MS-DTYP] 2.5.1). */

export interface Grant {
  sid: string;
  mask: number;
  /** Says nothing of the object itself, only of what will be made below it. */
  inheritOnly: boolean;
}

export interface Descriptor {
  owner: string;
  /** undefined: no list at all, which means everybody may do everything. */
  grants?: Grant[];
  /** Nothing comes from the folder above. */
  isCut: boolean;
}

/** Rights of files by their SDDL abbreviation. */
const RIGHTS: { readonly [name: string]: number } = {
  FA: 0x1f01ff,
  FR: 0x120089,
  FW: 0x120116,
  FX: 0x1200a0,
  GA: 0x10000000,
  GX: 0x20000000,
  GW: 0x40000000,
  GR: 0x80000000,
  SD: 0x10000,
  RC: 0x20000,
  WD: 0x40000,
  WO: 0x80000,
  CC: 0x1,
  DC: 0x2,
  LC: 0x4,
  SW: 0x8,
  RP: 0x10,
  WP: 0x20,
  DT: 0x40,
  LO: 0x80,
  CR: 0x100,
};
/** Data, attributes, children, deletion, and the list itself or its owner. */
const CHANGES = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x10000 | 0x40000 | 0x80000 | 0x10000000 | 0x40000000;
const READS = 0x1 | 0x10000000 | 0x80000000;

/** Who may do everything on any Windows: Administrators, SYSTEM, and the installer of Windows itself. */
const TRUSTED = new Set([
  'BA',
  'S-1-5-32-544',
  'SY',
  'S-1-5-18',
  'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464',
]);

/** undefined when it cannot be read as one. */
export function readSddl(text: string): Descriptor | undefined {
  const [, owner, flags, list] =
    /^O:([A-Z]{2}|S-[\d-]+)(?:G:(?:[A-Z]{2}|S-[\d-]+))?D:([A-Z_]*?)(NO_ACCESS_CONTROL|(?:\([^()]*\))*)(?:S:.*)?$/.exec(
      text,
    ) ?? [];
  if (owner === undefined || flags === undefined || list === undefined) return undefined;
  const isCut = /P/.test(flags.replace(/AR|AI/g, ''));
  if (list === 'NO_ACCESS_CONTROL') return { owner, isCut };
  const grants: Grant[] = [];
  for (const [, entry = ''] of list.matchAll(/\(([^()]*)\)/g)) {
    const [type, inheritance = '', rights = '', , , sid = ''] = entry.split(';');
    const mask = maskOf(rights);
    if (mask === undefined || sid === '') return undefined;
    // A denial takes rights away; leaving it out of account errs on the safe side.
    if (type === 'A' || type === 'XA') grants.push({ sid, mask, inheritOnly: /IO/.test(inheritance) });
  }
  return { owner, grants, isCut };
}

function maskOf(rights: string): number | undefined {
  if (/^0x[0-9a-f]{1,8}$/i.test(rights)) return Number.parseInt(rights, 16);
  if (/^\d+$/.test(rights)) return Number(rights);
  let mask = 0;
  for (const [name] of rights.matchAll(/../g)) {
    const bits = RIGHTS[name];
    if (bits === undefined) return undefined;
    mask += (mask & bits) === bits ? 0 : bits & ~mask;
  }
  return rights.length % 2 === 0 ? mask : undefined;
}

const EVERYBODY = 'WD';
const may =
  (bits: number) =>
  (descriptor: Descriptor): string[] => {
    if (descriptor.grants === undefined) return [EVERYBODY];
    const sids = descriptor.grants
      .filter(({ mask, inheritOnly, sid }) => !inheritOnly && (mask & bits) !== 0 && !TRUSTED.has(sid))
      .map(({ sid }) => sid);
    // Whoever owns it can give himself any right.
    return [...new Set(TRUSTED.has(descriptor.owner) ? sids : [descriptor.owner, ...sids])];
  };

/** SIDs, other than Administrators and SYSTEM, that may change the object, or give themselves the right to. */
export const changersOf = may(CHANGES);
/** The same of those that may read its content. */
export const readersOf = may(READS);

const NAMES: { readonly [sid: string]: string } = {
  WD: 'Everyone',
  'S-1-1-0': 'Everyone',
  BU: 'Users',
  'S-1-5-32-545': 'Users',
  AU: 'Authenticated Users',
  'S-1-5-11': 'Authenticated Users',
  IU: 'interactive users',
  PU: 'Power Users',
  CO: 'the creator',
  AC: 'app packages',
};
export const nameOf = (sid: string): string => NAMES[sid] ?? sid;
