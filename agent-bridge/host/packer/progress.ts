/**
 * What Packer's events mean: words for the job's log, and when the build fails, which provisioner it was and which
 * line of its script. Packer names neither, so both come from its announcements, read beside the template.
 */
import type { PackerEvent } from './machine-readable.ts';
import type { Provisioner } from './template.ts';

export interface Failure {
  error: 'provisionerFailed' | 'builderFailed';
  text: string;
}

export interface Progress {
  /** Gives lines for the log. */
  take(event: PackerEvent): string[];
  /** Of a run that did not end with 0. */
  failure(): Failure;
}

/** What a provisioner says when it begins, or begins its next script; Packer 1.6.6 up to 1.14. */
const ANNOUNCEMENTS: readonly { types: readonly string[]; says: RegExp }[] = [
  { types: ['shell', 'windows-shell'], says: /^Provisioning with shell script: (.+)$/ },
  { types: ['shell-local'], says: /^Running local shell script: (.+)$/ },
  { types: ['file'], says: /^(?:Uploading|Downloading) (.+) => .+$/ },
  { types: ['powershell'], says: /^Provisioning with powershell script: (.+)$/ },
  { types: ['windows-restart'], says: /^Restarting Machine$/ },
  { types: ['ansible', 'ansible-local'], says: /^Provisioning with Ansible\.\.\.$/ },
];
/** Builders that provision over a connection say this; others leave only the error. */
const STEP_FAILED = /^Provisioning step had errors/;
/** Begins of words that are about the end of a provisioner and not a step of the builder. */
const BESIDES = /^(?:Pausing |Provisioning with (?:Powershell|windows-shell)\.\.\.|Wait completed)/;
/** dash: `script: 3: words`; bash: `script: line 3: words`. The file is Packer's copy of the script. */
const SCRIPT_LINE = /^(\S*(?:packer-shell\d+|script_\d+\.\w+|\.(?:sh|bash))): (?:line )?(\d+): (.+)$/;
const ERRORS_KEPT = 5;
/** Packer puts `#!/bin/sh -e` before an inline script. */
const LINES_BEFORE_INLINE = 1;

interface Build {
  /** Index into its provisioners; -1 before the first. */
  at: number;
  /** Announcements that the provisioner still owes. */
  owed: number;
  /** What it announced last: the path of its script or file. */
  script: string;
  state: 'builder' | 'provisioner' | 'failedProvisioner';
  located?: { line: number; words: string };
  errors: string[];
}

export function createProgress(provisioners: readonly Provisioner[], templateName: string): Progress {
  const builds = new Map<string, Build>();
  const failed: { target: string; text: string }[] = [];
  const besides: string[] = [];

  const buildNamed = (name: string): Build => {
    const known = builds.get(name);
    if (known) return known;
    const fresh: Build = { at: -1, owed: 0, script: '', state: 'builder', errors: [] };
    builds.set(name, fresh);
    return fresh;
  };
  const ofBuild = (name: string) =>
    provisioners.filter(({ only, except }) => (only?.includes(name) ?? true) && !except.includes(name));

  /** Says so when another provisioner has begun. */
  function announced(name: string, build: Build, text: string): string | undefined {
    const match = ANNOUNCEMENTS.flatMap(({ types, says }) => {
      const found = says.exec(text);
      return found ? [{ types, script: found[1] ?? '' }] : [];
    })[0];
    if (!match) return undefined;
    const mine = ofBuild(name);
    const current = mine[build.at];
    build.state = 'provisioner';
    build.script = match.script;
    delete build.located;
    build.errors = [];
    if (current && match.types.includes(current.type) && build.owed > 0) {
      build.owed -= 1;
      return undefined;
    }
    const next = mine.findIndex(({ type }, index) => index > build.at && match.types.includes(type));
    if (next === -1) return undefined;
    build.at = next;
    build.owed = (mine[next]?.parts ?? Infinity) - 1;
    return `--- ${name}: ${described(name, build)}`;
  }

  function described(name: string, { at }: Build): string {
    const mine = ofBuild(name);
    const one = mine[at];
    if (!one) return 'a provisioner';
    return `provisioner ${at + 1} of ${mine.length} (${one.type}, ${templateName}:${one.line})`;
  }

  function spoken(kind: string, line: string): string[] {
    const parts = /^(==>|-->|\s{2,})\s*([^\s:]+): ?(.*)$/.exec(line);
    const [, arrow, name = '', text = ''] = parts ?? [];
    if (arrow === undefined || arrow === '-->') {
      if (kind === 'error') besides.push(line);
      return [line];
    }
    const build = buildNamed(name);
    if (kind === 'error') {
      build.errors = [...build.errors, text].slice(-ERRORS_KEPT);
      const [, , number, words] = SCRIPT_LINE.exec(text) ?? [];
      if (number !== undefined) build.located = { line: Number(number), words: words ?? '' };
      return [line];
    }
    if (kind !== 'say' || arrow !== '==>') return [line];
    if (STEP_FAILED.test(text)) {
      if (build.state === 'provisioner') build.state = 'failedProvisioner';
      return [line];
    }
    const begun = announced(name, build, text);
    if (begun !== undefined) return [begun, line];
    const isStep = !ANNOUNCEMENTS.some(({ says }) => says.test(text)) && !BESIDES.test(text);
    if (isStep && build.state === 'provisioner') build.state = 'builder';
    return [line];
  }

  return {
    take({ target, type, data }) {
      if (type === 'ui')
        return (data.slice(1).join(',') || '')
          .split('\n')
          .filter((line) => line.trim() !== '')
          .flatMap((line) => spoken(data[0] ?? '', line.trimEnd()));
      if (type === 'error') failed.push({ target, text: data.join(',') });
      if (type === 'version') return [`Packer ${data.join('')}`];
      return [];
    },
    failure() {
      // Others are cancelled because of the first; Packer lists them in no certain order.
      const first = failed.find(({ text }) => !/cancelled/i.test(text)) ?? failed[0];
      if (!first) return { error: 'builderFailed', text: besides.join(' ') || 'Packer gave no reason' };
      const build = buildNamed(first.target);
      const inProvisioner = build.state !== 'builder';
      const reason = first.text
        .replace(/\s*\n\s*/g, ' ')
        .replace(/\.?\s*Allowed exit codes are: \[[\d ]*\]/, '')
        .trim();
      if (!inProvisioner)
        return { error: 'builderFailed', text: `${first.target}: the builder failed: ${reason}` };
      const where = `${first.target}: ${described(first.target, build)} failed`;
      const line = located(build, ofBuild(first.target)[build.at], templateName);
      const said = build.located?.words ?? build.errors.at(-1);
      return { error: 'provisionerFailed', text: [where + line, said, reason].filter(Boolean).join(': ') };
    },
  };
}

function located(build: Build, provisioner: Provisioner | undefined, templateName: string): string {
  const { located: at, script } = build;
  if (!provisioner || provisioner.inline.length === 0) {
    const file = script === '' ? '' : ` in ${script}`;
    return at === undefined ? file : `${file || ' in its script'}, line ${at.line}`;
  }
  if (at === undefined) return ' in its inline commands';
  let before = LINES_BEFORE_INLINE;
  for (const [index, { text, line }] of provisioner.inline.entries()) {
    before += text.split('\n').length;
    if (at.line <= before) return ` in inline command ${index + 1} (${templateName}:${line})`;
  }
  return ` in line ${at.line} of its inline commands`;
}
