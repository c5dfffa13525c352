/**
 * Preloaded into the bridge and its supervisors: kills the process at one point, once. CRASH is
 * `serve|supervise:before|after:function:part of its arguments[:hits to let pass]`; CRASH_ONCE is a file that remembers
 * that it was done.
 */
const fs = require('node:fs');
const childProcess = require('node:child_process');

const [role, when, name, part, pass = '0'] = (process.env.CRASH ?? '').split(':');
let left = Number(pass);
if (process.argv[2] === role) {
  const paths = new Map();
  const open = fs.openSync;
  fs.openSync = (path, ...rest) => {
    const fd = open(path, ...rest);
    paths.set(fd, String(path));
    return fd;
  };
  const owner = name === 'spawn' ? childProcess : fs;
  const real = owner[name];
  const die = () => {
    if (fs.existsSync(process.env.CRASH_ONCE)) return;
    fs.writeFileSync(process.env.CRASH_ONCE, '');
    process.kill(process.pid, 'SIGKILL');
    // The signal comes within the next system calls.
    for (;;) fs.existsSync('/');
  };
  owner[name] = (...args) => {
    const text = args
      .map((arg) => (typeof arg === 'number' && paths.has(arg) ? paths.get(arg) : String(arg)))
      .join(' ');
    const hit = text.includes(part) && (left -= 1) < 0;
    if (hit && when === 'before') die();
    const result = real(...args);
    if (hit) die();
    return result;
  };
}
