/** The few facts of this process and machine that the service needs besides the ports. */
import { statSync } from 'node:fs';

/** What a script's child gets of the environment: enough to run PowerShell, nothing that configures Packer. */
const CHILD_VARIABLES = [
  'PATH',
  'SystemRoot',
  'windir',
  'SystemDrive',
  'ComSpec',
  'PATHEXT',
  'TEMP',
  'TMP',
  'TMPDIR',
  'ProgramData',
  'ProgramFiles',
  'PSModulePath',
  'USERPROFILE',
  'APPDATA',
  'LOCALAPPDATA',
  'HOME',
];

export function childEnvironment(): Record<string, string> {
  const names = new Set(CHILD_VARIABLES.map((name) => name.toLowerCase()));
  return Object.fromEntries(
    Object.entries(process.env).filter((pair): pair is [string, string] => names.has(pair[0].toLowerCase())),
  );
}

/** Windows has ACLs instead; the installer sets them on the data folder. */
export function readableByOthers(path: string): boolean {
  return process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0;
}
