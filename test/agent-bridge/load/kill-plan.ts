/** Where a bridge and its supervisors are killed, and how the job of that moment must end. */

export type Point = 'write' | 'fsync' | 'rename' | 'claim' | 'spawn';
export type Who = 'bridge' | 'supervisor' | 'together';

/** One process that is armed, as kill-points.cjs reads it. */
export interface Arm {
  role: 'serve' | 'supervise';
  name: string;
  part: string;
  pass: number;
  when: 'before' | 'half' | 'after';
  kills: ('self' | 'other')[];
}

export interface Kill {
  point: Point;
  who: Who;
  arms: Arm[];
  /** `lost`: the supervisor had the claim and left no result. */
  ends: 'done' | 'lost';
}

const FUNCTION = { write: 'writeFileSync', fsync: 'fsyncSync', rename: 'renameSync', claim: 'linkSync' };
const KILLS: Record<Arm['role'], Record<Who, Arm['kills']>> = {
  serve: { bridge: ['self'], supervisor: ['other'], together: ['self', 'other'] },
  supervise: { bridge: ['other'], supervisor: ['self'], together: ['self', 'other'] },
};

/** `pass` counts the log's entries of this job: accepted, started, ended. */
const IN_BRIDGE: [Point, part: string, pass: number][] = [
  ['write', 'audit.log', 0],
  ['write', 'audit.log', 1],
  ['write', 'audit.log', 2],
  ['write', 'params.json', 0],
  ['fsync', 'audit.log', 0],
  ['fsync', 'audit.log', 1],
  ['fsync', 'audit.log', 2],
  ['fsync', 'params.json', 0],
  ['fsync', 'stdin', 0],
  ['rename', 'params.json', 0],
  ['rename', 'stdin', 0],
  ['rename', 'spec.json', 0],
  ['spawn', 'supervise', 0],
];
/** In the order of a supervisor's life. */
const IN_SUPERVISOR: [Point, part: string][] = [
  ['write', 'claim'],
  ['fsync', 'claim'],
  ['claim', 'claim'],
  ['spawn', 'engine.cjs'],
  ['write', 'child'],
  ['rename', 'child'],
  ['write', 'exit.json'],
  ['fsync', 'exit.json'],
  ['rename', 'exit.json'],
];

const functionOf = (point: Point, part: string): string => {
  if (point === 'spawn') return 'spawn';
  return part === 'audit.log' && point === 'write' ? 'writeSync' : FUNCTION[point];
};
const moments = (point: Point): Arm['when'][] =>
  point === 'write' ? ['half', 'before', 'after'] : ['before', 'after'];

function inBridge(): Kill[] {
  return IN_BRIDGE.flatMap(([point, part, pass]) =>
    moments(point).map((when): Kill => {
      const name = functionOf(point, part);
      return {
        ...{ point, who: 'bridge', ends: 'done' },
        arms: [{ role: 'serve', name, part, pass, when, kills: KILLS.serve.bridge }],
      };
    }),
  );
}

function inSupervisor(who: Who): Kill[] {
  const claimed = IN_SUPERVISOR.findIndex(([point]) => point === 'claim');
  return IN_SUPERVISOR.flatMap(([point, part], index) =>
    moments(point).map((when): Kill => {
      const hasClaim = index > claimed || (index === claimed && when === 'after');
      const hasResult = index === IN_SUPERVISOR.length - 1 && when === 'after';
      const name = functionOf(point, part);
      return {
        ...{ point, who, ends: who === 'bridge' || !hasClaim || hasResult ? 'done' : 'lost' },
        arms: [{ role: 'supervise', name, part, pass: 0, when, kills: KILLS.supervise[who] }],
      };
    }),
  );
}

/** The supervisor dies before its claim, and the bridge at the claim that it makes in its place. */
const atBothClaims = (['before', 'after'] as const).map((when): Kill => {
  const claim = { name: 'linkSync', part: 'claim', pass: 0, kills: ['self'] satisfies Arm['kills'] };
  return {
    ...{ point: 'claim', who: 'together', ends: 'done' },
    arms: [
      { role: 'supervise', when: 'before', ...claim },
      { role: 'serve', when, ...claim },
    ],
  };
});

/** The bridge kills its fresh supervisor: that one may or may not have come to its claim, but has run nothing. */
const atSpawn = (['together', 'supervisor'] as const).map((who): Kill => {
  const at = { name: 'spawn', part: 'supervise', pass: 0, when: 'after' } as const;
  return {
    ...{ point: 'spawn', who, ends: 'done' },
    arms: [{ role: 'serve', ...at, kills: KILLS.serve[who] }],
  };
});

export function cellOf({ point, who }: Kill): string {
  return `${point} ${who}`;
}

/** Of each point and each victim, in turns, so that a beginning of the list has some of all. */
export const KILLS_ALL: readonly Kill[] = inTurns([
  ...inBridge(),
  ...inSupervisor('bridge'),
  ...inSupervisor('supervisor'),
  ...atBothClaims,
  ...inSupervisor('together'),
  ...atSpawn,
]);

function inTurns(kills: readonly Kill[]): Kill[] {
  const names = [...new Set(kills.map(cellOf))];
  const cells = names.map((name) => kills.filter((kill) => cellOf(kill) === name));
  const longest = Math.max(...cells.map((cell) => cell.length));
  return Array.from({ length: longest }, (_, n) => cells.flatMap((cell) => cell[n] ?? [])).flat();
}

/** The beginning of the list with one kill at every point of every victim, and `restarts` of the bridge. */
export function someOfAll(restarts: number): Kill[] {
  const cells = new Set(KILLS_ALL.map(cellOf));
  const length = KILLS_ALL.findIndex((_, n) => {
    const made = KILLS_ALL.slice(0, n + 1);
    const restarted = made.filter(({ who }) => who !== 'supervisor').length;
    return restarted >= restarts && new Set(made.map(cellOf)).size === cells.size;
  });
  return KILLS_ALL.slice(0, length + 1);
}

/** The whole list, `times` over: every moment of every call, not only every kind of call. */
export const allKills = (times: number): Kill[] => Array.from({ length: times }, () => KILLS_ALL).flat();
