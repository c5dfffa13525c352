/**
 * The stand-in nginx as a program: `-t`, `-s reload`, `-v`, and without them the master, which starts workers
 * and, on SIGHUP, a new generation of them. A new listen port that is in use is logged and changes nothing,
 * although `-t` and `-s reload` both end 0: the trap of the real one.
 */
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { Emerg, readSite } from './reader.ts';
import type { StandInSite } from './reader.ts';
import { serve } from './worker.ts';

const BIND_TRIES = 5;
const BIND_PAUSE_MS = 500;

const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const prefix = option('-p') ?? '.';
const conf = option('-c') ?? 'nginx.conf';

if (cluster.isWorker) {
  process.title = 'nginx: worker process';
  const site = JSON.parse(process.env['STAND_IN_SITE'] ?? '{}') as StandInSite;
  // The terminal's and the service's signals are the master's business.
  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
  process.on('SIGTERM', () => process.exit(0));
  process.on('disconnect', () => process.exit(0));
  void serve(site, (quit) => process.on('message', (word) => word === 'quit' && quit())).then(() =>
    process.send?.('ready'),
  );
} else if (process.argv.includes('-v')) {
  process.stderr.write('nginx version: nginx/stand-in\n');
} else if (process.argv.includes('-t')) {
  readOrExit();
  process.stderr.write(`nginx: the configuration file ${conf} syntax is ok\n`);
  process.stderr.write(`nginx: configuration file ${conf} test is successful\n`);
  process.exit(0);
} else if (option('-s') === 'reload') {
  const site = readOrExit();
  try {
    process.kill(Number(readFileSync(site.pidFile, 'utf8')), 'SIGHUP');
  } catch (error) {
    process.stderr.write(`nginx: [error] invalid PID number in "${site.pidFile}": ${String(error)}\n`);
    process.exit(1);
  }
} else {
  void master(readOrExit());
}

function readOrExit(): StandInSite {
  try {
    return readSite(conf, prefix);
  } catch (error) {
    if (!(error instanceof Emerg)) throw error;
    process.stderr.write(`nginx: [emerg] ${error.message}\n`);
    if (process.argv.includes('-t')) process.stderr.write(`nginx: configuration file ${conf} test failed\n`);
    process.exit(1);
  }
}

async function master(first: StandInSite): Promise<void> {
  let site = first;
  let generation: Worker[] = [];
  let busy: Promise<void> = Promise.resolve();
  const log = (level: string, text: string) =>
    appendFileSync(
      site.errorLog,
      `${new Date().toISOString().slice(0, 19)} [${level}] ${process.pid}#0: ${text}\n`,
    );
  cluster.setupPrimary({
    exec: process.argv[1] ?? '',
    args: ['-p', prefix, '-c', conf, 'a-name-of-some-length'],
  });
  const start = async (next: StandInSite): Promise<Worker[]> => {
    const workers = Array.from({ length: next.workers }, () =>
      cluster.fork({ STAND_IN_SITE: JSON.stringify(next) }),
    );
    await Promise.all(workers.map((w) => new Promise((done) => w.once('message', done))));
    return workers;
  };
  const reload = async (): Promise<void> => {
    log('notice', 'signal 1 (SIGHUP) received, reconfiguring');
    let next: StandInSite;
    try {
      next = readSite(conf, prefix);
    } catch (error) {
      log('emerg', (error as Error).message);
      return;
    }
    const held = new Set(listenKeys(site));
    const wanted = listenKeys(next).filter((key) => !held.has(key));
    for (let tries = 1; ; tries++) {
      const taken: string[] = [];
      for (const key of wanted) if (!(await canBind(key))) taken.push(key);
      if (taken.length === 0) break;
      for (const key of taken) log('emerg', `bind() to ${key} failed (98: Address already in use)`);
      if (tries === BIND_TRIES) {
        log('emerg', 'still could not bind()');
        return;
      }
      await new Promise((done) => setTimeout(done, BIND_PAUSE_MS));
    }
    const old = generation;
    generation = await start(next);
    site = next;
    for (const worker of old) if (worker.isConnected()) worker.send('quit');
  };
  const stop = () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL');
    rmSync(site.pidFile, { force: true });
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => {
    busy = busy.then(reload);
  });
  for (const key of listenKeys(site)) {
    if (await canBind(key)) continue;
    process.stderr.write(`nginx: [emerg] bind() to ${key} failed (98: Address already in use)\n`);
    process.exit(1);
  }
  generation = await start(site);
  writeFileSync(site.pidFile, `${process.pid}\n`);
}

function listenKeys(site: StandInSite): string[] {
  return [...site.http, ...site.stream].flatMap((s) => s.listen.map((l) => `${l.host}:${l.port}`));
}

function canBind(key: string): Promise<boolean> {
  const colon = key.lastIndexOf(':');
  return new Promise((done) => {
    const probe = createServer();
    probe.once('error', () => done(false));
    probe.listen(Number(key.slice(colon + 1)), key.slice(0, colon), () => probe.close(() => done(true)));
  });
}
