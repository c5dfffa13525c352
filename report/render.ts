/**
 * The page: one HTML file without script or external resource, for the run's tab and for the lab.
 */
import { compare } from './compare.ts';
import type { ReportData } from './data.ts';
import { html } from './html.ts';
import type { Html, Part } from './html.ts';
import { actions, components, evidence, failures, logHeads, refusals, servedBy } from './sections.ts';
import { STYLE } from './style.ts';
import { timeline } from './timeline.ts';
import { inWords } from '../cycle/record.ts';
import { latency, number, utc } from './words.ts';

export type { ReportData } from './data.ts';

/** Nothing may be loaded, not even by a page that was tampered with on its way. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";

export function renderReport(data: ReportData): string {
  const title = `${OUTCOMES[data.outcome]}: ${data.cluster}`;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta http-equiv="Content-Security-Policy" content="${{ html: POLICY }}" />
        <title>${title} – Node Cycle</title>
        <style>
          ${{ html: STYLE }}
        </style>
      </head>
      <body>
        <header>
          <p class="outcome ${data.outcome}">${outcomeSign(data.outcome)}${OUTCOMES[data.outcome]}</p>
          <h1>${headline(data)}</h1>
          <p>${data.reason}</p>
          <p class="quiet">${utc(data.startedMs)} to ${utc(data.endedMs)}</p>
          ${figures(data)}
        </header>
        <main>
          ${refusals(data.run)} ${timelineSection(data)} ${data.traffic && failures(data.traffic)}
          ${comparison(data)} ${actions(data.run)} ${data.traffic && servedBy(data.traffic)}
          ${data.components && components(data.components)} ${evidence(data.run)} ${logHeads(data.run)}
          ${settings(data)}
        </main>
        <footer>Written by Node Cycle. All times are UTC.</footer>
      </body>
    </html> `;
  return page.html;
}

const OUTCOMES: Record<ReportData['outcome'], string> = {
  succeeded: 'Succeeded',
  failed: 'Failed',
  refused: 'Refused',
  nothingDue: 'Nothing was due',
};

function outcomeSign(outcome: ReportData['outcome']): Html {
  const good = outcome === 'succeeded' || outcome === 'nothingDue';
  const shape = good
    ? 'M4.5 8.3l2.4 2.4 4.6-5'
    : outcome === 'refused'
      ? 'M8 4v5M8 11.2v.6'
      : 'M5.3 5.3l5.4 5.4m0-5.4l-5.4 5.4';
  return html`<svg
    viewBox="0 0 16 16"
    aria-hidden="true"
    fill="none"
    stroke="currentColor"
    stroke-width="1.6"
    stroke-linecap="round"
  >
    <circle cx="8" cy="8" r="7" />
    <path d="${shape}" />
  </svg>`;
}

function headline(data: ReportData): Part {
  if (data.replaced.length === 0) return `No node of ${data.cluster} was replaced`;
  const pairs = data.replaced.map(
    (pair, index) =>
      html`${index === 0 ? '' : ', '}<span class="nowrap"
          >${pair.old} <span class="arrow" aria-label="replaced by">→</span> ${pair.new}</span
        >`,
  );
  return html`${data.cluster}: ${pairs}`;
}

function figures(data: ReportData): Html {
  const { traffic, vms } = data;
  const shown: { name: string; value: Part; bad?: boolean }[] = [
    { name: 'duration', value: inWords(data.endedMs - data.startedMs) },
  ];
  if (traffic !== undefined) {
    const { total, failed, resetOnIdle, apiRetried, p50Ms, p99Ms } = traffic.requests;
    shown.unshift(
      { name: 'requests', value: number(total) },
      { name: 'failed', value: number(failed), bad: failed > 0 },
      { name: 'resets of idle connections', value: number(resetOnIdle) },
      { name: 'API reads tried again', value: number(apiRetried) },
      { name: 'half answered within', value: html`${latency(p50Ms)} <small>ms</small>` },
      { name: '99 % answered within', value: html`${latency(p99Ms)} <small>ms</small>` },
    );
  }
  if (vms !== undefined) {
    const value = html`${vms.peak} <small>/ ${vms.steady} steady</small>`;
    shown.push({ name: 'VMs running at most', value, bad: vms.peak > vms.steady + 1 });
  }
  return html`<dl class="figures">
    ${shown.map(
      ({ name, value, bad }) =>
        html`<div>
          <dt>${name}</dt>
          <dd class="${bad === true ? 'bad' : ''}">${value}</dd>
        </div>`,
    )}
  </dl>`;
}

function timelineSection(data: ReportData): Html | undefined {
  if (data.run.steps.length === 0) return undefined;
  const swatch = (kind: string): Html =>
    html`<svg viewBox="0 0 18 12" aria-hidden="true">
      <rect class="swatch ${kind}" y="1" width="18" height="10" rx="1.5" />
    </svg>`;
  return html`<section aria-labelledby="timeline">
    <h2 id="timeline">Timeline</h2>
    <figure>
      <div class="scroll" tabindex="0" role="region" aria-label="Timeline, can be scrolled sideways">
        ${timeline(data)}
      </div>
      <figcaption>
        <span>${swatch('act')}action</span>
        <span>${swatch('wait')}wait</span>
        <span
          ><svg viewBox="0 0 18 12" aria-hidden="true"><path class="diamond" d="M9 1l5 5-5 5-5-5z" /></svg
          >cannot be taken back</span
        >
        <span
          ><svg viewBox="0 0 18 12" aria-hidden="true">
            <g class="lost"><path d="M9 11l-5-9h10z" /></g></svg
          >failed requests</span
        >
      </figcaption>
    </figure>
  </section>`;
}

function comparison(data: ReportData): Html | undefined {
  const { before, after } = data.run;
  if (before === undefined || after === undefined) return undefined;
  return html`<section aria-labelledby="compare">
    <h2 id="compare">Before and after</h2>
    ${compare(before, after)}
  </section>`;
}

function settings(data: ReportData): Html | undefined {
  if (data.settings === undefined || data.settings.length === 0) return undefined;
  return html`<section aria-labelledby="settings">
    <h2 id="settings">How it was run</h2>
    <dl class="pairs">
      ${data.settings.map(
        ({ name, value }) =>
          html`<dt>${name}</dt>
            <dd>${value}</dd>`,
      )}
    </dl>
  </section>`;
}
