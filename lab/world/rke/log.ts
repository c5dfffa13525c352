/** rke's output as logrus writes it: `time="…" level=… msg=…` to a pipe, `INFO[0018] …` to a terminal (facts/rke-ran.md, section 1). */

export type Level = 'info' | 'warning' | 'fatal';

/** Everything that logrus writes without quotes. */
const BARE = /^[A-Za-z0-9\-._/@^+]+$/;
const SHORT: Record<Level, { text: string; colour: number }> = {
  info: { text: 'INFO', colour: 36 },
  warning: { text: 'WARN', colour: 33 },
  fatal: { text: 'FATA', colour: 31 },
};

export interface LineStyle {
  tty: boolean;
  startedMs: number;
}

export function logLine(style: LineStyle, level: Level, message: string, nowMs: number): string {
  if (style.tty) {
    const { text, colour } = SHORT[level];
    const seconds = String(Math.floor((nowMs - style.startedMs) / 1000)).padStart(4, '0');
    return `\u001b[${String(colour)}m${text}\u001b[0m[${seconds}] ${message.padEnd(44)} `;
  }
  const time = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return `time="${time}" level=${level} msg=${BARE.test(message) ? message : quoted(message)}`;
}

/** Go's %q for the characters that occur. */
function quoted(text: string): string {
  const inner = text
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('\t', '\\t');
  return `"${inner}"`;
}
