/** Times in text: ISO 8601 in UTC. The one place where milliseconds become a date. */

export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
