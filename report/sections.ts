/**
 * The sections of the page below the timeline, each a function of its data; undefined when there is nothing to say.
 */
import { inWords } from '../cycle/record.ts';
import type { ActionSummary, RunSummary, StepSummary } from '../cycle/record.ts';
import type { ReportComponent, ReportTraffic } from './data.ts';
import { html } from './html.ts';
import type { Html } from './html.ts';
import { latency, number, plural, timeOfDay } from './words.ts';

export function refusals(run: RunSummary): Html | undefined {
  if (run.refusals.length === 0) return undefined;
  return html`<section aria-labelledby="refusals">
    <h2 id="refusals">Refused</h2>
    ${run.refusals.map(
      (refusal) =>
        html`<article class="refusal">
          <h3>${refusal.what}</h3>
          <p class="quiet">${refusal.code}${refusal.step === '' ? '' : ` in ${refusal.step}`}</p>
          ${
            refusal.evidence.length === 0
              ? ''
              : html`<ul>
                  ${refusal.evidence.map((item) => html`<li>${item}</li>`)}
                </ul>`
          }
          <p><strong>What to do:</strong> ${refusal.remedy}</p>
        </article>`,
    )}
  </section>`;
}

export function failures(traffic: ReportTraffic): Html | undefined {
  if (traffic.failures.length === 0) return undefined;
  const shown = traffic.failures.length;
  const all = traffic.requests.failed;
  const note = shown < all ? `The first ${shown} of ${number(all)}.` : '';
  return html`<section aria-labelledby="failures">
    <h2 id="failures">Failed requests</h2>
    <p class="quiet">${note}</p>
    <table>
      <thead>
        <tr>
          <th scope="col">time</th>
          <th scope="col">class</th>
          <th scope="col">asked</th>
          <th scope="col">error</th>
        </tr>
      </thead>
      <tbody>
        ${traffic.failures.map(
          (failure) =>
            html`<tr>
              <td class="nowrap">${timeOfDay(failure.atMs)}</td>
              <td>${failure.class}</td>
              <td>${failure.target}</td>
              <td>${failure.error}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

export function actions(run: RunSummary): Html | undefined {
  if (run.steps.length === 0) return undefined;
  return html`<section aria-labelledby="actions">
    <h2 id="actions">Every action, and why</h2>
    ${run.steps.map(stepDetails)}
  </section>`;
}

/** Open from the start: what is closed is not printed. */
function stepDetails(step: StepSummary): Html {
  const good = step.outcome === 'succeeded' || step.outcome === 'nothingDue';
  const outcome = good ? '' : html`<strong class="bad">${step.outcome}</strong>`;
  const took = inWords(step.endedMs - step.startedMs);
  return html`<details open>
    <summary>
      <h3>${step.step}</h3>
      ${outcome}
      <span class="end">${plural(step.actions.length, 'action')}, ${took}</span>
    </summary>
    ${step.reason === '' ? '' : html`<p class="quiet">${step.reason}</p>`}
    ${step.actions.length === 0 ? '' : actionTable(step.actions)}
  </details>`;
}

function actionTable(list: readonly ActionSummary[]): Html {
  return html`<table class="actions">
    <thead>
      <tr>
        <th scope="col">action</th>
        <th scope="col">reason</th>
        <th scope="col" class="number">time</th>
        <th scope="col">kind</th>
      </tr>
    </thead>
    <tbody>
      ${list.map(
        (action) =>
          html`<tr>
            <td class="id">${action.id}</td>
            <td>
              ${action.reason}${action.errors.map((error) => html`<br /><span class="bad">${error}</span>`)}
            </td>
            <td class="number">${inWords(action.endedMs - action.startedMs)}</td>
            <td>${kinds(action)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function kinds(action: ActionSummary): Html {
  const kind = action.irreversible ? 'irreversible' : action.wait ? 'wait' : 'action';
  const tries = action.tries > 1 ? `, ${action.tries} tries` : '';
  const state = action.state === 'done' ? '' : html`<br /><strong class="bad">${action.state}</strong>`;
  return html`${kind}${tries}${state}`;
}

export function servedBy(traffic: ReportTraffic): Html {
  const nodes = Object.entries(traffic.servedBy).sort(([a], [b]) => (a < b ? -1 : 1));
  const classes = Object.entries(traffic.classes);
  return html`<section aria-labelledby="traffic">
    <h2 id="traffic">Traffic</h2>
    <div class="sides">
      <table>
        <caption>
          By class of request
        </caption>
        <thead>
          <tr>
            ${['class', 'requests', 'failed', 'resets', 'p50 ms', 'p99 ms'].map(
              (head, index) => html`<th scope="col" class="${index === 0 ? '' : 'number'}">${head}</th>`,
            )}
          </tr>
        </thead>
        <tbody>
          ${classes.map(
            ([name, counts]) =>
              html`<tr>
                <td>${name}</td>
                <td class="number">${number(counts.total)}</td>
                <td class="number ${counts.failed > 0 ? 'bad' : ''}">${number(counts.failed)}</td>
                <td class="number">${number(counts.resetOnIdle)}</td>
                <td class="number">${latency(counts.p50Ms)}</td>
                <td class="number">${latency(counts.p99Ms)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
      <table>
        <caption>
          By the node that served it
        </caption>
        <thead>
          <tr>
            <th scope="col">node</th>
            <th scope="col" class="number">requests</th>
          </tr>
        </thead>
        <tbody>
          ${nodes.map(
            ([node, count]) =>
              html`<tr>
                <td>${node}</td>
                <td class="number">${number(count)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

export function components(list: readonly ReportComponent[]): Html | undefined {
  if (list.length === 0) return undefined;
  return html`<section aria-labelledby="components">
    <h2 id="components">What it ran against</h2>
    <table>
      <thead>
        <tr>
          <th scope="col">component</th>
          <th scope="col">kind</th>
          <th scope="col">version</th>
          <th scope="col" class="number">calls</th>
        </tr>
      </thead>
      <tbody>
        ${list.map(
          (part) =>
            html`<tr>
              <td>${part.name}</td>
              <td>${part.real ? 'real' : 'stand-in'}</td>
              <td>${part.version}</td>
              <td class="number ${part.calls === 0 ? 'bad' : ''}">${number(part.calls)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

export function evidence(run: RunSummary): Html | undefined {
  if (run.evidence.length === 0) return undefined;
  return html`<section aria-labelledby="evidence">
    <h2 id="evidence">Evidence</h2>
    ${run.evidence.map(
      ({ subject, facts }) =>
        html`<h3>${subject}</h3>
          <dl class="pairs">
            ${Object.entries(facts).map(
              ([name, value]) =>
                html`<dt>${name}</dt>
                  <dd>${value}</dd>`,
            )}
          </dl>`,
    )}
  </section>`;
}

export function logHeads(run: RunSummary): Html | undefined {
  if (run.logHeads.length === 0) return undefined;
  return html`<section aria-labelledby="heads">
    <h2 id="heads">Heads of the bridges’ logs</h2>
    <p class="quiet">To be compared on the host: <code>audit verify --witness</code>.</p>
    <table>
      <thead>
        <tr>
          <th scope="col">host</th>
          <th scope="col" class="number">entries</th>
          <th scope="col">head</th>
        </tr>
      </thead>
      <tbody>
        ${run.logHeads.map(
          (head) =>
            html`<tr>
              <td>${head.host}</td>
              <td class="number">${number(head.entries)}</td>
              <td><code>${head.hash}</code></td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}
