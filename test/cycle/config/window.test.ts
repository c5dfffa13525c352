import assert from 'node:assert/strict';
import { nextOpening, windowOpen } from '../../../cycle/config.ts';
import type { Window } from '../../../cycle/config.ts';

const ALL = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

function window(
  from: string,
  to: string,
  days: readonly (typeof ALL)[number][] = ALL,
  timeZone = 'Europe/Berlin',
): Window {
  return { timeZone, from, to, days: [...days], atGates: 'approval' };
}

function open(each: Window | undefined, utc: string): boolean {
  return windowOpen(each, Date.parse(utc));
}

function next(each: Window, utc: string): string | undefined {
  const moment = nextOpening(each, Date.parse(utc));
  return moment === undefined ? undefined : new Date(moment).toISOString().replace('.000', '');
}

describe('the window in which a cycle may start', () => {
  it('is always open when there is none', () => {
    assert.equal(open(undefined, '2026-01-01T00:00:00Z'), true);
    assert.equal(nextOpening(undefined, 5), 5);
  });

  it('opens at its start and is closed at its end', () => {
    const night = window('01:00', '05:00');
    assert.equal(open(night, '2026-01-14T23:59:59Z'), false);
    assert.equal(open(night, '2026-01-15T00:00:00Z'), true);
    assert.equal(open(night, '2026-01-15T03:59:59.999Z'), true);
    assert.equal(open(night, '2026-01-15T04:00:00Z'), false);
  });

  it('follows summer time', () => {
    const night = window('01:00', '05:00');
    assert.equal(open(night, '2026-07-14T23:00:00Z'), true);
    assert.equal(open(night, '2026-07-15T03:00:00Z'), false);
  });

  it('past midnight belongs to the day on which it began', () => {
    const friday = window('22:00', '04:00', ['fri']);
    assert.equal(open(friday, '2026-01-16T20:59:00Z'), false);
    assert.equal(open(friday, '2026-01-16T21:00:00Z'), true);
    assert.equal(open(friday, '2026-01-17T02:59:00Z'), true);
    assert.equal(open(friday, '2026-01-17T03:00:00Z'), false);
    assert.equal(open(friday, '2026-01-16T02:00:00Z'), false);
    assert.equal(open(friday, '2026-01-17T21:30:00Z'), false);
  });

  it('takes the weekday from its own time zone', () => {
    const monday = window('08:00', '09:00', ['mon'], 'Pacific/Auckland');
    assert.equal(open(monday, '2026-01-11T19:30:00Z'), true);
    assert.equal(open(monday, '2026-01-12T19:30:00Z'), false);
  });

  it('is open twice where the hour is repeated in autumn, and longer on that night', () => {
    const hour = window('02:00', '03:00');
    assert.equal(open(hour, '2026-10-25T00:30:00Z'), true);
    assert.equal(open(hour, '2026-10-25T01:30:00Z'), true);
    assert.equal(open(hour, '2026-10-25T02:00:00Z'), false);
  });

  it('opens next at its start, in local time', () => {
    const night = window('01:00', '05:00');
    assert.equal(next(night, '2026-01-15T10:00:00Z'), '2026-01-16T00:00:00Z');
    assert.equal(next(night, '2026-03-28T10:00:00Z'), '2026-03-29T00:00:00Z');
    assert.equal(next(night, '2026-03-29T10:00:00Z'), '2026-03-29T23:00:00Z');
  });

  it('opens next now when it is open', () => {
    assert.equal(next(window('01:00', '05:00'), '2026-01-15T01:23:45Z'), '2026-01-15T01:23:45Z');
  });

  it('opens next on the next of its days', () => {
    assert.equal(next(window('01:00', '05:00', ['wed']), '2026-01-15T10:00:00Z'), '2026-01-21T00:00:00Z');
    assert.equal(next(window('22:00', '04:00', ['fri']), '2026-01-17T10:00:00Z'), '2026-01-23T21:00:00Z');
  });

  it('that starts in the hour left out in spring opens when the clock is put forward', () => {
    assert.equal(next(window('02:30', '04:00'), '2026-03-28T10:00:00Z'), '2026-03-29T01:00:00Z');
  });

  it('that lies in the hour left out in spring opens on its next day', () => {
    assert.equal(next(window('02:00', '03:00', ['sun']), '2026-03-28T10:00:00Z'), '2026-04-05T00:00:00Z');
  });

  it('reopens when the clock is put back into it', () => {
    const early = window('01:00', '02:30');
    assert.equal(open(early, '2026-10-25T00:30:00Z'), false);
    assert.equal(next(early, '2026-10-25T00:30:00Z'), '2026-10-25T01:00:00Z');
  });

  it('that is empty never opens', () => {
    assert.equal(next(window('01:00', '01:00'), '2026-01-15T10:00:00Z'), undefined);
  });

  it('opens next at a moment that a scan minute by minute finds too', () => {
    const zones = ['Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe'];
    for (const zone of zones)
      for (const start of ['2026-03-28T22:17:00Z', '2026-10-24T20:41:00Z', '2026-04-04T11:03:00Z']) {
        for (const each of [window('01:45', '02:15', ALL, zone), window('23:30', '01:50', ['sun'], zone)]) {
          let moment = Date.parse(start);
          const found = nextOpening(each, moment);
          assert.ok(found !== undefined);
          while (!windowOpen(each, moment) && moment <= found) moment += 60_000;
          assert.equal(
            new Date(found).toISOString(),
            new Date(moment).toISOString(),
            `${zone} from ${start}`,
          );
        }
      }
  });
});
