/** `npm run lab`: the real pipeline replaces a node of a cluster on this machine while traffic flows. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CodedError } from '../ports/errors.ts';
import { renderReport } from '../report/render.ts';
import { readSettings, USAGE, type LabSettings } from './options.ts';
import { jsonOf, judge, reportOf, tableOf } from './result.ts';
import { runSession } from './session.ts';
import { openView } from './view/view.ts';

async function main(): Promise<number> {
  let settings: LabSettings | undefined;
  try {
    settings = readSettings(process.argv.slice(2), process.stdin.isTTY && process.stdout.isTTY);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    process.stderr.write(`${error.message}\n${error.evidence.join('\n')}\n`);
    return 2;
  }
  if (settings === undefined) {
    process.stdout.write(`${USAGE.join('\n')}\n`);
    return 0;
  }
  const dir = mkdtempSync(join(tmpdir(), 'nclab-'));
  const cancel = new AbortController();
  process.once('SIGINT', () => cancel.abort());
  process.once('SIGTERM', () => cancel.abort());
  const view = openView({ out: process.stdout, env: process.env, nowMs: Date.now });
  try {
    const session = await runSession(settings, dir, (event) => view.show(event), cancel.signal);
    const verdict = judge(session);
    const report = resolve(settings.report);
    writeFileSync(report, renderReport(reportOf(session, verdict, 'home')));
    if (settings.json !== undefined)
      writeFileSync(settings.json, `${JSON.stringify(jsonOf(session, verdict), undefined, 2)}\n`);
    view.show({ kind: 'ended', outcome: verdict.outcome, table: tableOf(session, verdict, report) });
    process.stdout.write(`${verdict.reason}\n`);
    return verdict.outcome === 'succeeded' || verdict.outcome === 'nothingDue' ? 0 : 1;
  } finally {
    view.close();
    if (settings.keep) process.stdout.write(`The lab's folder: ${dir}\n`);
    else rmSync(dir, { recursive: true, force: true });
  }
}

process.exit(await main());
