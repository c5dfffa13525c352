/**
 * When a cycle may start: days and local times of one time zone. A window that ends before it begins goes on
 * past midnight and belongs to the day on which it began. Wall times come from the time zone database that
 * Node carries, so days of 23 and 25 hours need no rule of their own.
 */
import type { Config } from './schema.ts';

export type Window = NonNullable<Config['window']>;

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** A weekly window that falls into the hour that is left out in spring opens again two weeks later at most. */
const HORIZON_DAYS = 15;

/** Whether a cycle may start at `nowMs` (UTC). Without a window: always. */
export function windowOpen(window: Window | undefined, nowMs: number): boolean {
  if (window === undefined) return true;
  const from = minuteOfDay(window.from);
  const to = minuteOfDay(window.to);
  const wall = wallTime(window.timeZone)(nowMs);
  const minute = Math.floor(mod(wall, DAY_MS) / MINUTE_MS);
  const opens = (daysBack: number) => window.days.includes(dayOf(wall - daysBack * DAY_MS));
  if (from < to) return opens(0) && from <= minute && minute < to;
  if (from === to) return false;
  return (opens(0) && from <= minute) || (opens(1) && minute < to);
}

/** The first moment from `nowMs` on (UTC) at which the window is open, `nowMs` itself when it is; undefined when it stays closed. */
export function nextOpening(window: Window | undefined, nowMs: number): number | undefined {
  if (windowOpen(window, nowMs) || window === undefined) return nowMs;
  const wall = wallTime(window.timeZone);
  const today = Math.floor(wall(nowMs) / DAY_MS) * DAY_MS;
  const moments: number[] = [];
  for (let day = -1; day <= HORIZON_DAYS; day++) {
    const opening = today + day * DAY_MS + minuteOfDay(window.from) * MINUTE_MS;
    moments.push(...momentsOf(wall, opening), ...shiftBetween(wall, opening - DAY_MS, opening));
  }
  moments.sort((a, b) => a - b);
  return moments.find((moment) => moment > nowMs && windowOpen(window, moment));
}

/** Whether the runtime's database knows a time zone by this name. */
export function knownTimeZone(name: string): boolean {
  try {
    wallTime(name);
    // An offset such as +01:00 is accepted by newer runtimes, but has no summer time.
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}

/** A zone's wall clock: UTC to local milliseconds, read as though they were UTC. */
function wallTime(timeZone: string): (utcMs: number) => number {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  return (utcMs) => {
    const parts: Record<string, number> = {};
    for (const part of format.formatToParts(utcMs)) parts[part.type] = Number(part.value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute) + mod(utcMs, MINUTE_MS);
  };
}

/** The moments that have this wall time: none in the hour left out in spring, two in the hour repeated in autumn. */
function momentsOf(wall: (utcMs: number) => number, local: number): number[] {
  const offsets = new Set([local - DAY_MS, local + DAY_MS].map((near) => wall(near) - near));
  return [...offsets].map((offset) => local - offset).filter((moment) => wall(moment) === local);
}

/** The moment at which the clock is changed between two moments, to the minute. */
function shiftBetween(wall: (utcMs: number) => number, from: number, to: number): number[] {
  const offset = (moment: number) => wall(moment) - moment;
  if (offset(from) === offset(to)) return [];
  let before = Math.floor(from / MINUTE_MS);
  let after = Math.ceil(to / MINUTE_MS);
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (offset(middle * MINUTE_MS) === offset(from)) before = middle;
    else after = middle;
  }
  return [after * MINUTE_MS];
}

function dayOf(wallMs: number): (typeof DAYS)[number] {
  // 1 January 1970 was a Thursday.
  return DAYS[mod(Math.floor(wallMs / DAY_MS) + 4, 7)] ?? 'sun';
}

function minuteOfDay(clock: string): number {
  return Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3, 5));
}

function mod(value: number, by: number): number {
  return ((value % by) + by) % by;
}
