/** How the page writes times and numbers: UTC, one locale, the same on every machine. */

/** `2026-05-04 01:30:00 UTC`. */
export function utc(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** `01:30:00`. */
export function timeOfDay(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 19);
}

/** 12345 → `12,345`. */
export function number(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** A latency with the digits that mean something: `0.84`, `8.4`, `120`. */
export function latency(ms: number): string {
  if (ms >= 100) return number(ms);
  return ms >= 1 ? ms.toFixed(1) : ms.toFixed(2);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}
