/**
 * Writes the parameter blocks of the stand-in modules, and the table of the compatibility check, from the published
 * reference of the cmdlets: `node --import tsx test/powershell/modules/generate.ts FOLDER`, where FOLDER has
 * windows-cmdlets.json and powershell-cmdlets.json. A cmdlet gets its block when its module's acts.ps1 has
 * `Invoke-<VerbNoun>`.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Parameter {
  type: string;
  sets: string;
  pipeline: string;
  position: string;
  aliases?: string[];
  values?: string[];
}
interface Cmdlet {
  documentedFor: string[];
  differs?: Record<string, { added: string[]; absent: string[] }>;
  sets: { name: string; default: boolean; syntax: string }[];
  parameters: Record<string, Parameter | Parameter[]>;
}
type Reference = Record<string, Record<string, Cmdlet>>;

const MODULES = ['Hyper-V', 'DnsServer', 'FailoverClusters'];
const VERSIONS = ['2016', '2019', '2022', '2025'];
/** PowerShell adds these itself. */
const ADDED = new Set(['WhatIf', 'Confirm']);

const TYPES: Record<string, string> = {
  String: 'string',
  SwitchParameter: 'switch',
  Boolean: 'bool',
  Int16: 'int16',
  Int32: 'int',
  Int64: 'long',
  UInt16: 'uint16',
  UInt32: 'uint32',
  UInt64: 'uint64',
  Guid: 'guid',
  PSObject: 'psobject',
  PSCredential: 'pscredential',
  Hashtable: 'hashtable',
  IPAddress: 'System.Net.IPAddress',
  TimeSpan: 'timespan',
  Version: 'version',
  StringCollection: 'System.Collections.Specialized.StringCollection',
  CimSession: 'Microsoft.Management.Infrastructure.CimSession',
  CimInstance: 'Microsoft.Management.Infrastructure.CimInstance',
};

/** `[[-Name] <String[]>]`, `[-Force]`, `-Path <String>`, `[-VM] <VirtualMachine[]>`: each parameter's place in one set. */
export function inSet(syntax: string): Map<string, { mandatory: boolean; positional: boolean }> {
  const found = new Map<string, { mandatory: boolean; positional: boolean }>();
  const text = syntax.replace(/^\S+ /, '').replace('[<CommonParameters>]', '');
  for (const [, optional, positional, name] of text.matchAll(/(\[?)(\[?)-(\w+)\]?(?: <[^>]+>)?\]?/g)) {
    if (name === undefined) continue;
    const switchLike = new RegExp(`\\[-${name}\\](?! <)`).test(text);
    const isPositional =
      positional === '[' || (optional === '[' && new RegExp(`\\[-${name}\\] <`).test(text));
    const mandatory =
      optional === '' || (optional === '[' && positional === '' && isPositional && !switchLike);
    found.set(name, { mandatory, positional: isPositional });
  }
  return found;
}

export function parameterBlock(name: string, cmdlet: Cmdlet): string {
  const fallback = cmdlet.sets.find((set) => set.default)?.name;
  const shouldProcess = 'WhatIf' in cmdlet.parameters;
  const binding = [
    ...(fallback === undefined || fallback === 'None' ? [] : [`DefaultParameterSetName = '${fallback}'`]),
    ...(shouldProcess ? ['SupportsShouldProcess = $true'] : []),
  ];
  const lines = Object.entries(cmdlet.parameters)
    .filter(([parameter]) => !ADDED.has(parameter))
    .map(([parameter, given]) => {
      const variants = Array.isArray(given) ? given : [given];
      const [first] = variants;
      if (!first) throw new Error(`${name} -${parameter} has no type`);
      const places = cmdlet.sets.map((set) => {
        const place = inSet(set.syntax).get(parameter);
        if (!place) return undefined;
        const variant = variants.find(({ sets }) => sets.split(', ').includes(set.name)) ?? first;
        const traits = [
          ...(place.mandatory ? ['Mandatory = $true'] : []),
          ...(place.positional && /^\d+$/.test(variant.position) ? [`Position = ${variant.position}`] : []),
          ...(variant.pipeline.includes('ByValue') ? ['ValueFromPipeline = $true'] : []),
          ...(variant.pipeline.includes('ByPropertyName') ? ['ValueFromPipelineByPropertyName = $true'] : []),
        ];
        return { set: `ParameterSetName = '${set.name}'`, traits };
      });
      const alike = places.every((place) => place?.traits.join() === places[0]?.traits.join());
      const attributes = alike
        ? [`[Parameter(${places[0]?.traits.join(', ') ?? ''})]`]
        : places.flatMap((place) =>
            place === undefined ? [] : [`[Parameter(${[place.set, ...place.traits].join(', ')})]`],
          );
      const aliases = first.aliases?.length
        ? `[Alias(${first.aliases.map((alias) => `'${alias}'`).join(', ')})] `
        : '';
      return `        ${attributes.join(' ')} ${aliases}[${typeName(first)}] $${parameter}`;
    });
  return [
    `function ${name} {`,
    `    [CmdletBinding(${binding.join(', ')})]`,
    '    param(',
    lines.join(',\n'),
    '    )',
    '    process { Invoke-Act $PSCmdlet $PSBoundParameters }',
    '}',
    '',
  ].join('\n');
}

function typeName({ type, values }: Parameter): string {
  const bare = type.replace('[]', '');
  const list = type.endsWith('[]') ? '[]' : '';
  return (TYPES[bare] ?? (values || OWN_TYPES.has(bare) ? bare : 'string')) + list;
}

/** Classes of types.ps1. */
const OWN_TYPES = new Set(
  `VirtualMachineBase VirtualMachine VMSnapshot VMComponentObject VMNetworkAdapterBase VMNetworkAdapter
  VMDriveController HardDiskDrive DvdDrive VMFirmware VMMemory VMProcessor VMSwitch VMCompatibilityReport`.split(
    /\s+/,
  ),
);

function enums(cmdlets: Record<string, Cmdlet>): string {
  const found = new Map<string, Set<string>>();
  for (const { parameters } of Object.values(cmdlets)) {
    for (const { type, values } of Object.values(parameters).flat()) {
      const bare = type.replace('[]', '');
      if (!values || bare in TYPES) continue;
      found.set(bare, new Set([...(found.get(bare) ?? []), ...values]));
    }
  }
  return [...found]
    .sort()
    .map(([name, values]) => `enum ${name} { ${[...values].join('; ')} }\n`)
    .join('');
}

/** What the compatibility check needs: a parameter counts when every version of the product documents it. */
function table(
  windows: Reference,
  core: Record<string, Record<string, { both?: string[] }>>,
): Record<string, Record<string, string[]>> {
  const everywhere: Record<string, Record<string, string[]>> = {};
  for (const [module, cmdlets] of Object.entries(windows)) {
    everywhere[module] = {};
    for (const [name, { documentedFor, differs, parameters }] of Object.entries(cmdlets)) {
      if (!VERSIONS.every((version) => documentedFor.includes(version))) continue;
      const partial = new Set(
        Object.values(differs ?? {}).flatMap(({ added, absent }) => [...added, ...absent]),
      );
      everywhere[module][name] = Object.keys(parameters)
        .filter((parameter) => !partial.has(parameter))
        .sort();
    }
  }
  for (const [module, cmdlets] of Object.entries(core)) {
    everywhere[module] = {};
    for (const [name, { both }] of Object.entries(cmdlets)) if (both) everywhere[module][name] = both;
  }
  return everywhere;
}

const note = '# Generated by generate.ts from the published reference; do not edit.\n';

export function generated(folder: string, modules: string): Map<string, string> {
  const windows = JSON.parse(readFileSync(join(folder, 'windows-cmdlets.json'), 'utf8')) as Reference;
  const core = JSON.parse(readFileSync(join(folder, 'powershell-cmdlets.json'), 'utf8')) as Parameters<
    typeof table
  >[1];
  const files = new Map<string, string>();
  for (const module of MODULES) {
    const acts = readdirSync(join(modules, module))
      .filter((name) => name.startsWith('acts'))
      .map((name) => readFileSync(join(modules, module, name), 'utf8'))
      .join('\n');
    const all = windows[module] ?? {};
    const wanted = Object.fromEntries(
      Object.entries(all).filter(([name]) => new RegExp(`Invoke-${name.replace('-', '')}\\b`).test(acts)),
    );
    const blocks = (only: (noun: string) => boolean): string =>
      Object.entries(wanted)
        .filter(([name]) => only(name.replace(/^\w+-/, '')))
        .map(([name, cmdlet]) => parameterBlock(name, cmdlet))
        .join('\n');
    // The many cmdlets of Hyper-V in two files: those of a VM and its disks, and the rest.
    const isWhole = (noun: string) =>
      module !== 'Hyper-V' || noun === 'VM' || /VHD|Drive|Snapshot/.test(noun);
    files.set(join(modules, module, 'parameters.ps1'), note + blocks(isWhole));
    if (module === 'Hyper-V') {
      files.set(join(modules, module, 'parameters-parts.ps1'), note + blocks((noun) => !isWhole(noun)));
    }
    if (module === 'Hyper-V') files.set(join(modules, module, 'parameter-types.ps1'), note + enums(wanted));
  }
  const shared = Object.entries(table(windows, core)).filter(
    ([, cmdlets]) => Object.keys(cmdlets).length > 0,
  );
  const rows = shared.map(
    ([module, cmdlets]) =>
      `  ${JSON.stringify(module)}: {\n${Object.entries(cmdlets)
        .map(([name, list]) => `    ${JSON.stringify(name)}: ${JSON.stringify(list.join(' '))}`)
        .join(',\n')}\n  }`,
  );
  files.set(join(modules, '..', 'everywhere.json'), `{\n${rows.join(',\n')}\n}\n`);
  return files;
}

const [folder] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename && folder !== undefined) {
  for (const [path, text] of generated(folder, import.meta.dirname)) writeFileSync(path, text);
}
