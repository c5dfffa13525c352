/** Where the provisioners of a template stand, so that a failure can be told with its line. JSON and HCL2. */
import { LineCounter, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Node, Scalar } from 'yaml';
import { hclBlocks } from './hcl.ts';
import type { HclText } from './hcl.ts';

export interface Provisioner {
  type: string;
  /** In the template, from 1. */
  line: number;
  /** Commands of a script that stands in the template itself. */
  inline: HclText[];
  /** How many scripts or files it announces one by one; undefined when only Packer knows. */
  parts: number | undefined;
  /** Builds that it runs in; undefined: all. */
  only: string[] | undefined;
  except: string[];
}

/** In the order in which Packer runs them. Empty when the template cannot be read that far. */
export function provisionersOf(source: string, fileName: string): Provisioner[] {
  return /\.pkr\.hcl$/i.test(fileName) ? ofHcl(source) : ofJson(source);
}

type Read = (name: string) => HclText[] | undefined;

function provisioner(type: string, line: number, has: (name: string) => boolean, read: Read): Provisioner {
  const parts = ['scripts', 'sources'].filter(has).map((name) => read(name)?.length);
  return {
    type,
    line,
    inline: read('inline') ?? [],
    parts: parts.length === 0 ? 1 : parts[0],
    only: has('only') ? read('only')?.map(({ text }) => text) : undefined,
    except: (read('except') ?? []).map(({ text }) => text),
  };
}

function ofHcl(source: string): Provisioner[] {
  const inBuilds = hclBlocks(source).flatMap(({ type, blocks }) => (type === 'build' ? blocks : []));
  // A dynamic block stands for any number of them.
  if (inBuilds.some(({ type, labels }) => type === 'dynamic' && labels[0] === 'provisioner')) return [];
  return inBuilds
    .filter(({ type }) => type === 'provisioner')
    .map(({ labels, line, attributes }) =>
      provisioner(
        labels[0] ?? '',
        line,
        (name) => attributes.has(name),
        (name) => attributes.get(name),
      ),
    );
}

function ofJson(source: string): Provisioner[] {
  const counter = new LineCounter();
  const document = parseDocument(source, { lineCounter: counter });
  if (document.errors.length > 0) return [];
  const lineOf = (node: Node) => counter.linePos(node.range?.[0] ?? 0).line;
  const list = document.get('provisioners');
  if (!isSeq(list)) return [];
  return list.items.filter(isMap).map((one) => {
    const read: Read = (name) => {
      const value = one.get(name, true) as unknown;
      const items = isSeq(value) ? value.items : [value];
      return items
        .filter((item): item is Scalar<string> => isScalar(item) && typeof item.value === 'string')
        .map((item) => ({ text: item.value, line: lineOf(item) }));
    };
    return provisioner(String(one.get('type')), lineOf(one), (name) => one.has(name), read);
  });
}
