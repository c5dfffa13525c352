/** README and docs say only what is so: what they name is there, and what they promise has a test. */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { BridgeFile } from '../../agent-bridge/server/policy.ts';
import { OPERATIONS } from '../../agent-bridge/protocol/operations.ts';
import { USAGE as BRIDGE_USAGE } from '../../agent-bridge/service/commands.ts';
import { factsToAnnotations, NO_FACTS } from '../../cycle/facts.ts';
import { USAGE as LAB_USAGE } from '../../lab/options.ts';
import { ERRORS } from '../../ports/errors.ts';
import { filesBelow, ROOT, textOf } from '../repository/tree.ts';

/** Below GitHub's and a reader's patience. */
const LARGEST_IMAGE_BYTES = 300_000;
/** Made by the build or the lab, so not there in a fresh clone. */
const MADE = /^dist\/|^lab-report\.html$/;

const pages = ['README.md', ...filesBelow('docs').filter((path) => path.endsWith('.md'))];

/** Each hit of a pattern in each page, as `[page, first group, second group]`. */
function found(pattern: RegExp, of: readonly string[] = pages): [string, string, string][] {
  return of.flatMap((page) =>
    [...textOf(page).matchAll(pattern)].map(([, one = '', two = '']): [string, string, string] => [
      page,
      one,
      two,
    ]),
  );
}

/** The first cells of a table that follows a heading row with `column`, without their backticks. */
function firstCells(page: string, heading: RegExp): string[] {
  const lines = textOf(page).split('\n');
  const at = lines.findIndex((line) => heading.test(line));
  assert.notEqual(at, -1, `${page} has no table ${String(heading)}`);
  const end = lines.findIndex((line, index) => index > at && !line.startsWith('|'));
  return lines.slice(at + 2, end).flatMap((line) => (line.split('|')[1] ?? '').split(',').map(plain));
}

const plain = (cell: string): string => cell.trim().replaceAll('`', '');

describe('README and docs', () => {
  it('link to nothing that is not there', () => {
    const links = found(/\]\(([^)\s]+)\)/g).filter(([, target]) => !/^[a-z]+:/.test(target));
    assert.ok(links.length > 20);
    const dead = links.filter(([page, target]) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchorsOf(file).includes(anchor);
    });
    assert.deepEqual(dead, []);
  });

  it('name no file and no folder that is not there', () => {
    const top = new Set([...filesBelow('')].map((path) => path.split('/')[0]));
    const named = found(/`([A-Za-z.][\w.-]*\/[\w./-]*)`/g).filter(([, path]) => top.has(path.split('/')[0]));
    assert.ok(named.length > 40);
    const absent = named.filter(([, path]) => !MADE.test(path) && !existsSync(join(ROOT, path)));
    assert.deepEqual(absent, []);
  });

  it('name no npm script that package.json lacks', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const named = found(/\bnpm (?:run )?(test|(?<=run )[a-z]+)/g);
    assert.ok(named.some(([page, name]) => page === 'README.md' && name === 'lab'));
    assert.deepEqual(
      named.filter(([, name]) => !Object.hasOwn(scripts, name)),
      [],
    );
  });

  it('name no option of the lab that it does not take', () => {
    const known = new Set(LAB_USAGE.join('\n').match(/--[a-z-]+/g));
    const lab =
      textOf('README.md')
        .match(/npm run lab[^\n]*/g)
        ?.join('\n') ?? '';
    const named = (lab.match(/--[a-z]+(-[a-z]+)*/g) ?? []).filter((option) => option !== '--help');
    assert.ok(named.includes('--approve'));
    assert.deepEqual(
      named.filter((option) => !known.has(option)),
      [],
    );
  });

  it('name no error code that is not listed', () => {
    assert.deepEqual(
      found(/\b(NC\d{4})\b/g).filter(([, code]) => !Object.hasOwn(ERRORS, code)),
      [],
    );
  });

  it('hold each promise by a test of that name', () => {
    const promised = found(/`(test\/[^`]+)`: "([^"]+)"/g);
    assert.ok(promised.length > 30);
    const broken = promised.filter(([, path, title]) => !textOf(path).includes(title));
    assert.deepEqual(broken, []);
  });

  it('show pictures that are PNG files of a moderate size', () => {
    const images = [
      ...found(/(?:src|srcset)="([^"]+)"/g, ['README.md']),
      ...found(/!\[[^\]]*\]\(([^)]+)\)/g),
    ].map(([page, path]) => normalize(join(dirname(page), path)));
    assert.ok(images.length >= 2);
    for (const path of images) {
      assert.ok(statSync(join(ROOT, path)).size < LARGEST_IMAGE_BYTES, path);
      assert.match(path, /\.png$/);
    }
  });

  it('have one light and one dark picture of the report', () => {
    const text = textOf('README.md');
    assert.match(text, /prefers-color-scheme: dark\)" srcset="docs\/images\/lab-report-dark\.png"/);
    assert.match(text, /src="docs\/images\/lab-report-light\.png"/);
  });
});

describe('README.md', () => {
  it('has every task in its table, and no other', () => {
    const tasks = filesBelow('tasks').flatMap((path) => /^tasks\/(\w+)\/task\.json$/.exec(path)?.[1] ?? []);
    assert.deepEqual(firstCells('README.md', /^\| task \|/).sort(), tasks.sort());
  });

  it('gives a test for each thing that is never done', () => {
    const rows = textOf('README.md')
      .split('## What it never does')[1]
      ?.split('\n## ')[0]
      ?.split('\n')
      .filter((line) => line.startsWith('| ') && !/^\| (never|---)/.test(line));
    assert.ok(rows !== undefined && rows.length > 10);
    for (const row of rows) assert.match(row, /`test\/[^`]+`: "[^"]+" \|$/);
  });

  it('names the version of the extension that is built', () => {
    const { version } = JSON.parse(textOf('vss-extension.json')) as { version: string };
    assert.ok(textOf('README.md').includes(`dist/node-cycle-${version}.vsix`));
  });
});

describe('docs/architecture.md', () => {
  it('lists every fact on the Lease, and no other', () => {
    const facts = Object.keys(factsToAnnotations(NO_FACTS));
    assert.deepEqual(firstCells('docs/architecture.md', /^\| annotation \|/), facts);
  });
});

describe('docs/host.md', () => {
  const text = textOf('docs/host.md');

  it('shows every command of the bridge, and no other', () => {
    const usage = BRIDGE_USAGE.flatMap((line) =>
      (/^bridge(?:-admin)? (.*)$/.exec(line)?.[1] ?? '')
        .split(' | ')
        .flatMap((part) => /^[a-z]+/.exec(part)?.[0] ?? []),
    );
    const shown = [...text.matchAll(/`node bridge(?:-admin)?\.cjs ([a-z]+)/g)].map(([, command]) => command);
    assert.deepEqual([...new Set(shown)].sort(), [...new Set(usage)].sort());
  });

  it('has every key of bridge.yaml and of a client, and no other', () => {
    assert.deepEqual(firstCells('docs/host.md', /^\| key \|/).sort(), Object.keys(BridgeFile.shape).sort());
    const client = text.slice(text.indexOf('A client:'));
    const keys = [...client.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell = '']) =>
      cell.split(',').map(plain),
    );
    assert.deepEqual(keys.sort(), Object.keys(clientShape()).sort());
  });

  it('names every operation', () => {
    for (const name of OPERATIONS.keys()) assert.ok(text.includes(`\`${name}\``), name);
  });

  it('says what has not run on Windows, as long as a script says so', () => {
    const scripts = filesBelow('agent-bridge/host/scripts').filter((path) => path.endsWith('.ps1'));
    const unproven = scripts.filter((path) => textOf(path).includes('NOT YET RUN ON WINDOWS'));
    if (unproven.length > 0)
      for (const page of ['README.md', 'docs/host.md', 'docs/threat-model.md'])
        assert.match(textOf(page), /not run on Windows|tried on Windows/i);
  });
});

describe('docs/decisions', () => {
  const notes = filesBelow('docs/decisions').filter((path) => /\/\d{4}-[a-z0-9-]+\.md$/.test(path));

  it('are numbered without a gap, of one form, and in the index', () => {
    const index = textOf('docs/decisions/README.md');
    notes.forEach((path, at) => {
      const name = path.slice('docs/decisions/'.length);
      assert.equal(Number(name.slice(0, 4)), at + 1);
      const headings = textOf(path).match(/^#+ .*/gm) ?? [];
      assert.deepEqual(headings.slice(1), ['## Context', '## Decision', '## Consequences'], path);
      assert.ok(index.includes(`[${name.slice(0, 4)} ${headings[0]?.slice(2) ?? ''}](${name})`), path);
    });
  });

  it('state versions and licences of libraries as they are installed', () => {
    const rows = textOf('docs/decisions/README.md').matchAll(
      /^\| ([a-z@][\w@/-]*) \| (\d\S+) \| ([^|]+) \|/gm,
    );
    const stated = [...rows].map(([, name = '', version, licence]) => [name, version, licence]);
    assert.ok(stated.length > 10);
    for (const [name = '', version, licence] of stated) {
      const installed = JSON.parse(textOf(`node_modules/${name}/package.json`)) as {
        version: string;
        license?: string;
        licenses?: { type: string }[];
      };
      assert.equal(version, installed.version, name);
      assert.equal(
        licence,
        installed.license ?? installed.licenses?.map(({ type }) => type).join(', '),
        name,
      );
    }
  });
});

function clientShape(): object {
  const clients = BridgeFile.shape.clients._zod.def.innerType;
  return clients._zod.def.element.shape;
}

/** As GitHub makes them of headings. */
function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}
