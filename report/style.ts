/** The page's style: system fonts, two themes, paper. The figure takes its colours from here too. */

export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f8; --text: #1c2024; --quiet: #5c646d; --line: #dfe3e7; --grid: #eceff1;
  --act: #2f6db5; --wait: #a9c7e8; --mark: #b4540a; --bad: #b3261e; --good: #1a7042; --rate: #8fb8a2; --latency: #b9b3d3;
  --gone: #fdf1e7; --new: #eaf5ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16191c; --panel: #1f2327; --text: #e6e9ec; --quiet: #9ba5ae; --line: #343a40; --grid: #262b30;
    --act: #6ea8e8; --wait: #2f4d6e; --mark: #f0944a; --bad: #f2837b; --good: #6cc794; --rate: #3f6b54; --latency: #5a5480;
    --gone: #33271d; --new: #1c2f25;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
header, main, footer { max-width: 1184px; margin: 0 auto; padding: 0 32px; }
header { padding-top: 36px; }
h1 { font-size: 27px; font-weight: 600; line-height: 1.25; margin: 6px 0 2px; letter-spacing: -0.01em; }
h2 { font-size: 18px; font-weight: 600; margin: 44px 0 12px; }
h3 { font-size: 15px; font-weight: 600; margin: 0 0 4px; }
p { margin: 4px 0; }
.quiet, caption, th, .note, footer { color: var(--quiet); }
.bad { color: var(--bad); }
.good { color: var(--good); }
.nowrap { white-space: nowrap; }
.arrow { color: var(--quiet); font-weight: 400; padding: 0 4px; }
.outcome { display: inline-flex; align-items: center; gap: 7px; font-weight: 600; font-size: 14px; }
.outcome svg { width: 16px; height: 16px; }
.outcome.succeeded, .outcome.nothingDue { color: var(--good); }
.outcome.failed { color: var(--bad); }
.outcome.refused { color: var(--mark); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 1px; margin: 26px 0 0; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.figures > div { box-shadow: 0 0 0 1px var(--line); padding: 13px 12px 12px; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.figures dt { color: var(--quiet); font-size: 13px; line-height: 1.35; }
.figures dd { margin: 0; font-size: 20px; font-weight: 600; line-height: 1.35; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures dd small { font-size: 13px; font-weight: 400; color: var(--quiet); }
figure { margin: 0; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--act); outline-offset: 2px; }
.timeline { display: block; width: 100%; min-width: 860px; height: auto; font-size: 12px; font-variant-numeric: tabular-nums; }
.timeline text { fill: var(--text); }
.timeline .tick, .timeline .note { fill: var(--quiet); font-size: 11px; }
.timeline .stage { fill: var(--quiet); }
.timeline .note.bad { fill: var(--bad); font-weight: 600; }
.grid { stroke: var(--grid); }
.stage-line { stroke: var(--line); }
.base { stroke: var(--line); }
.span { fill: var(--line); }
.bar.act, .swatch.act { fill: var(--act); }
.bar.wait, .swatch.wait { fill: var(--wait); }
.bar.irreversible, .diamond { fill: var(--mark); }
.bar.failed, .bar.unfinished { stroke: var(--bad); stroke-width: 2; }
.mark { stroke: var(--mark); stroke-dasharray: 2 3; opacity: 0.55; }
.cross { stroke: var(--bad); stroke-width: 2; fill: none; }
.rate { fill: var(--rate); }
.latency { fill: var(--latency); }
.lost rect, .lost path { fill: var(--bad); }
figcaption { display: flex; flex-wrap: wrap; gap: 4px 22px; color: var(--quiet); font-size: 13px; margin-top: 8px; }
figcaption span { display: inline-flex; align-items: center; gap: 7px; }
figcaption svg { width: 18px; height: 12px; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 20px 40px; }
table { width: 100%; border-collapse: collapse; margin: 0 0 18px; font-size: 14px; }
caption { text-align: left; font-size: 13px; padding: 8px 0 2px; }
th { text-align: left; font-weight: 400; font-size: 12px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
td { overflow-wrap: break-word; }
td.id, td code { overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
tr.gone td { background: var(--gone); }
tr.new td { background: var(--new); }
del { text-decoration-color: var(--mark); text-decoration-thickness: 1px; }
ins { text-decoration: none; font-weight: 600; }
.tag { font-size: 12px; color: var(--quiet); white-space: nowrap; }
.values { list-style: none; margin: 0; padding: 0; }
code, .id { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
details { border-top: 1px solid var(--line); }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: 9px 0; display: flex; gap: 6px 14px; align-items: baseline; flex-wrap: wrap; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary::before { content: ""; flex: none; width: 6px; height: 6px; border: solid var(--quiet); border-width: 0 1.5px 1.5px 0; transform: translateY(-2px) rotate(-45deg); }
details[open] > summary::before { transform: translateY(-3px) rotate(45deg); }
summary h3 { margin: 0; }
summary .end { margin-left: auto; color: var(--quiet); font-variant-numeric: tabular-nums; }
details > p, details > table { margin-left: 20px; width: calc(100% - 20px); }
@media (min-width: 760px) { .actions th:nth-child(1) { width: 34%; } .actions th:nth-child(3) { width: 92px; } .actions th:nth-child(4) { width: 128px; } }
.actions th:nth-child(4), .actions td:nth-child(4) { padding-left: 14px; }
.refusal { border-left: 3px solid var(--mark); background: var(--panel); padding: 14px 20px; margin: 0 0 14px; border-radius: 0 6px 6px 0; }
.refusal ul { margin: 8px 0; padding-left: 20px; }
.pairs { display: grid; grid-template-columns: max-content 1fr; gap: 3px 20px; margin: 0 0 14px; font-size: 14px; }
.pairs dt { color: var(--quiet); } .pairs dd { margin: 0; overflow-wrap: anywhere; }
footer { padding-top: 34px; padding-bottom: 48px; font-size: 13px; }
@media (max-width: 640px) {
  header, main, footer { padding-left: 18px; padding-right: 18px; }
  details > p, details > table { margin-left: 0; width: 100%; } td, th { padding-right: 8px; } td.id { font-size: 12px; }
}
@media print {
  :root { color-scheme: light; --page: #fff; --panel: #f6f7f8; --text: #000; --quiet: #444; --line: #ccc; --grid: #eee; --act: #2f6db5; --wait: #a9c7e8; --mark: #b4540a; --bad: #b3261e; --good: #1a7042; --rate: #8fb8a2; --latency: #b9b3d3; --gone: #fdf1e7; --new: #eaf5ee; }
  @page { margin: 14mm; }
  body { font-size: 11px; } table { font-size: 10.5px; }
  header, main, footer { max-width: none; padding: 0; }
  .scroll { overflow: visible; } .timeline { min-width: 0; }
  .bar, .swatch, .rate, .latency, tr.gone td, tr.new td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  tr, .refusal, figure, .figures { break-inside: avoid; } h2, h3, caption, summary { break-after: avoid; }
}
`;
