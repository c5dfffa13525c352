/** Numbers that the seed decides. Each part of the story draws from a stream of its own, by name. */
export interface Chance {
  /** 0 ≤ x < 1. */
  next(): number;
  /** 0 ≤ n < limit. */
  below(limit: number): number;
  between(least: number, most: number): number;
  pick<T>(from: readonly T[]): T;
  happens(share: number): boolean;
  bytes(length: number): Uint8Array;
}

const LONG = 4096;

export function chance(seed: number, name: string): Chance {
  let state = (seed ^ hash(name)) >>> 0;
  // mulberry32, as the lab's world.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  // Seeds that follow each other begin alike.
  next();
  next();
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    next,
    below,
    between: (least, most) => least + next() * (most - least),
    pick: (from) => from[below(from.length)] as (typeof from)[number],
    happens: (share) => next() < share,
    // What is that long only fills a disk.
    bytes: (length) =>
      length > LONG ? new Uint8Array(length) : Uint8Array.from({ length }, () => below(256)),
  };
}

/** FNV-1a. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    value ^= text.charCodeAt(at);
    value = Math.imul(value, 0x01000193);
  }
  return value >>> 0;
}
