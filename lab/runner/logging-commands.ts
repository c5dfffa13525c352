/**
 * `##vso[area.event key=value;…]message`, as the agent's own parser reads it (facts/azure-pipelines.md):
 * anywhere in a line, with regard to case, and without trimming the names of properties.
 */

export interface LoggingCommand {
  /** Lower case, such as `task.setvariable`. */
  name: string;
  /** Names in lower case, not trimmed: `issecret = true` is the property `issecret `. */
  properties: ReadonlyMap<string, string>;
  message: string;
}

const PREFIX = '##vso[';

/** Undefined when the line holds no command. */
export function parseLoggingCommand(line: string): LoggingCommand | undefined {
  const start = line.indexOf(PREFIX);
  const end = start < 0 ? -1 : line.indexOf(']', start);
  if (end < 0) return undefined;
  const head = line.slice(start + PREFIX.length, end);
  const space = head.indexOf(' ');
  const name = space < 0 ? head : head.slice(0, space);
  if (!/^[^.]+\.[^.]+$/.test(name)) return undefined;
  const properties = new Map<string, string>();
  for (const pair of space < 0 ? [] : head.slice(space + 1).split(';')) {
    const equals = pair.indexOf('=');
    if (equals <= 0 || equals === pair.length - 1) continue;
    properties.set(pair.slice(0, equals).toLowerCase(), decodeProperty(pair.slice(equals + 1)));
  }
  return { name: name.toLowerCase(), properties, message: decodeMessage(line.slice(end + 1)) };
}

function decodeMessage(text: string): string {
  return text
    .replace(/%0D/g, '\r')
    .replace(/%0A/g, '\n')
    .replace(/%AZP25/g, '%');
}

function decodeProperty(text: string): string {
  return decodeMessage(text.replace(/%3B/g, ';').replace(/%5D/g, ']'));
}
