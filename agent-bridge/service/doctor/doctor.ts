/** `doctor`: what is wrong with this installation, in words, and what to do about it. It changes nothing. */
import { CHECKS } from './checks.ts';
import type { Finding } from './finding.ts';
import { machine } from './machine-adapter.ts';
import { lookAt } from './facts.ts';
import type { Facts, LookPorts } from './facts.ts';

export function judge({ configPath, configFaults, installation }: Facts): Finding[] {
  if (installation === undefined)
    return configFaults.map((says) => ({
      level: 'wrong',
      says,
      remedy: `Correct ${configPath}; nothing else can be looked at until then.`,
    }));
  const { clients } = installation;
  return [
    { level: 'ok', says: `${configPath} is valid and names ${clients.length} client(s).` },
    ...CHECKS.flatMap((check) => check(installation)),
  ];
}

/** Gives the exit code: 1 when something is wrong. */
export async function doctor(
  configPath: string,
  ports: Omit<LookPorts, 'machine'> & { print(line: string): void },
): Promise<number> {
  const findings = judge(await lookAt(configPath, { ...ports, machine }));
  for (const { level, says, remedy } of findings) {
    ports.print(`${level.padEnd(8)} ${says}`);
    if (remedy !== undefined) ports.print(`${' '.repeat(8)} → ${remedy}`);
  }
  const count = (level: Finding['level']) => findings.filter((one) => one.level === level).length;
  ports.print(`${count('wrong')} wrong, ${count('warning')} warning(s), ${count('ok')} ok.`);
  return count('wrong') === 0 ? 0 : 1;
}
