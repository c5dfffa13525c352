/**
 * Preloaded into the bridge and its supervisors. KILL_POINTS is a folder; a file `serve` or `supervise` in it arms the
 * process of that role: `{name, part, pass, when, kills}`. At that call (a function and a part of its arguments, after
 * `pass` hits) it ends `self`, `other` (a bridge its supervisors, a supervisor its bridge) or both, once, and says so
 * in `fired`.
 */
const fs = require('node:fs');
const childProcess = require('node:child_process');
const path = require('node:path');

const role = process.argv[2];
const dir = process.env.KILL_POINTS;
const real = { ...fs, spawn: childProcess.spawn };
const paths = new Map();
const started = [];
let hits = 0;

function armed() {
  try {
    return JSON.parse(real.readFileSync(path.join(dir, role), 'utf8'));
  } catch {
    // Not armed: a kill that was done takes its file away.
    hits = 0;
    return undefined;
  }
}

function end(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It had ended.
  }
}

function fire({ kills }) {
  real.rmSync(path.join(dir, role));
  real.appendFileSync(path.join(dir, 'fired'), `${role}\n`);
  if (kills.includes('other')) {
    const others = role === 'serve' ? started : [process.ppid].filter((pid) => pid > 1);
    others.forEach(end);
  }
  if (!kills.includes('self')) return;
  end(process.pid);
  // The signal comes within the next system calls.
  for (;;) real.existsSync('/');
}

/** What a process that dies while it writes leaves behind; one that only kills the other writes the rest. */
function writeHalves(point, fd, data, offset = 0) {
  const bytes = Buffer.from(data).subarray(offset);
  const half = Math.floor(bytes.length / 2);
  real.writeSync(fd, bytes, 0, half);
  fire(point);
  real.writeSync(fd, bytes, half);
  return bytes.length;
}

function watched(name, args) {
  const point = armed();
  const told = args.map((arg) => (typeof arg === 'number' && paths.has(arg) ? paths.get(arg) : String(arg)));
  const isIt = point !== undefined && point.name === name && told.join(' ').includes(point.part);
  const hit = isIt && (hits += 1) > point.pass;
  if (hit && point.when === 'half') return writeHalves(point, ...args);
  if (hit && point.when === 'before') fire(point);
  const result = real[name](...args);
  if (name === 'openSync') paths.set(result, String(args[0]));
  if (name === 'spawn' && told.join(' ').includes('supervise')) started.push(result.pid);
  if (hit && point.when === 'after') fire(point);
  return result;
}

if (role === 'serve' || role === 'supervise') {
  for (const name of ['openSync', 'writeSync', 'writeFileSync', 'fsyncSync', 'renameSync', 'linkSync'])
    fs[name] = (...args) => watched(name, args);
  childProcess.spawn = (...args) => watched('spawn', args);
}
