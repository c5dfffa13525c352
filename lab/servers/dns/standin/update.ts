/**
 * What the stand-in `nsupdate` and its server say to each other. Real updates need class NONE and TSIG, which
 * dns-packet cannot write, and nobody else speaks to this server: so an update is one framed JSON message over
 * TCP, with an HMAC where TSIG would be. The rules for what an update does are RFC 2136's (section 3).
 */
import { createHmac } from 'node:crypto';

export interface StandInRecord {
  name: string;
  type: string;
  ttl: number;
  data: string;
}

export interface UpdateBody {
  zone: string;
  prereqs: {
    kind: 'yxrrset' | 'nxrrset' | 'yxdomain' | 'nxdomain';
    name: string;
    type?: string;
    data?: string;
  }[];
  updates: { kind: 'add' | 'delete'; name: string; ttl?: number; type?: string; data?: string }[];
}

export interface UpdateMessage {
  body: string;
  keyName?: string;
  mac?: string;
}

export function macOf(body: string, secret: string, algorithm: string): string {
  return createHmac(algorithm.replace('hmac-', ''), Buffer.from(secret, 'base64')).update(body).digest('hex');
}

/** Code of the refusal, or the zone's records after the update. Nothing is changed in place. */
export function applyUpdate(records: readonly StandInRecord[], body: UpdateBody): string | StandInRecord[] {
  const lower = (text: string) => text.toLowerCase().replace(/\.$/, '');
  const named = (name: string, list: readonly StandInRecord[] = records) =>
    list.filter((r) => lower(r.name) === lower(name));
  const sets = new Map<string, { name: string; type: string; data: string[] }>();
  for (const p of body.prereqs) {
    const there = named(p.name);
    const ofType = there.filter((r) => r.type === p.type);
    if (p.kind === 'nxdomain' && there.length > 0) return 'YXDOMAIN';
    if (p.kind === 'yxdomain' && there.length === 0) return 'NXDOMAIN';
    if (p.kind === 'nxrrset' && ofType.length > 0) return 'YXRRSET';
    if (p.kind === 'yxrrset' && p.data === undefined && ofType.length === 0) return 'NXRRSET';
    if (p.kind === 'yxrrset' && p.data !== undefined && p.type !== undefined) {
      const key = `${lower(p.name)} ${p.type}`;
      const set = sets.get(key) ?? { name: p.name, type: p.type, data: [] };
      set.data.push(lower(p.data));
      sets.set(key, set);
    }
  }
  for (const set of sets.values()) {
    const held = named(set.name)
      .filter((r) => r.type === set.type)
      .map((r) => lower(r.data))
      .sort();
    if (held.join(' ') !== set.data.sort().join(' ')) return 'NXRRSET';
  }
  for (const u of body.updates) {
    if (u.type !== undefined && !['A', 'AAAA', 'CNAME', 'TXT'].includes(u.type)) return 'REFUSED';
    if (!(lower(u.name) === lower(body.zone) || lower(u.name).endsWith(`.${lower(body.zone)}`)))
      return 'NOTZONE';
  }
  let next = [...records];
  for (const u of body.updates) {
    const same = (r: StandInRecord) => lower(r.name) === lower(u.name);
    if (u.kind === 'delete') {
      next = next.filter(
        (r) =>
          !(
            same(r) &&
            (u.type === undefined || r.type === u.type) &&
            (u.data === undefined || lower(r.data) === lower(u.data))
          ),
      );
      continue;
    }
    const type = u.type ?? '';
    const there = named(u.name, next);
    // 3.4.2.2: an address beside a CNAME, or a CNAME beside anything else, is silently ignored.
    if (type !== 'CNAME' && there.some((r) => r.type === 'CNAME')) continue;
    if (type === 'CNAME' && there.some((r) => r.type !== 'CNAME')) continue;
    const data = (u.data ?? '').replace(/\.$/, '');
    next = next.filter(
      (r) => !(same(r) && r.type === type && (type === 'CNAME' || lower(r.data) === lower(data))),
    );
    next.push({ name: u.name.replace(/\.$/, ''), type, ttl: u.ttl ?? 0, data });
    // One TTL for the whole set (RFC 2181, section 5.2).
    next = next.map((r) => (same(r) && r.type === type ? { ...r, ttl: u.ttl ?? 0 } : r));
  }
  return next;
}
