/** A git server with one branch in memory, behind the `Repo` port. A commit's id is its place in the story. */
import { createHash } from 'node:crypto';
import { PortError, type Repo } from '../../ports/ports.ts';

export interface Commit {
  id: string;
  parent: string | undefined;
  files: ReadonlyMap<string, string>;
  message: string;
}

export interface Repository {
  readonly name: string;
  tip(): Commit;
  /** Every commit that was ever the tip, the oldest first. */
  readonly branch: readonly Commit[];
  /** The branch refuses pushes, as a protected one. */
  protected: boolean;
  /** A person's own commit. */
  edit(path: string, change: (text: string) => string, message: string): void;
  onPush(listener: () => void): void;
  readonly port: Repo;
}

export function repository(name: string, first: Record<string, string>): Repository {
  const commits = new Map<string, Commit>();
  const branch: Commit[] = [];
  const listeners: (() => void)[] = [];
  const add = (parent: Commit | undefined, files: ReadonlyMap<string, string>, message: string): Commit => {
    const id = createHash('sha1').update(`${name} ${commits.size}`).digest('hex');
    const commit = { id, parent: parent?.id, files, message };
    commits.set(id, commit);
    return commit;
  };
  const tip = () => branch.at(-1) as Commit;
  const move = (commit: Commit) => {
    branch.push(commit);
    for (const listener of listeners) listener();
  };
  const known = (id: string): Commit => {
    const found = commits.get(id);
    if (found === undefined) throw new PortError('notfound', 'repo', `${name}: bad object ${id}`);
    return found;
  };
  const isAncestor = (ancestor: string, descendant: string): boolean => {
    for (let at: string | undefined = descendant; at !== undefined; at = commits.get(at)?.parent)
      if (at === ancestor) return true;
    return false;
  };
  move(add(undefined, new Map(Object.entries(first)), 'As it is'));

  const self: Repository = {
    name,
    tip,
    branch,
    protected: false,
    edit(path, change, message) {
      const files = new Map(tip().files);
      files.set(path, change(files.get(path) ?? ''));
      move(add(tip(), files, message));
    },
    onPush: (listener) => void listeners.push(listener),
    port: {
      tip: async () => tip().id,
      read: async (commit, path) => known(commit).files.get(path),
      list: async (commit, dir) => {
        const below = dir === '' || dir === '.' ? '' : `${dir}/`;
        const names = [...known(commit).files.keys()].filter((path) => path.startsWith(below));
        return [...new Set(names.map((path) => path.slice(below.length).split('/')[0] ?? ''))].sort();
      },
      history: async (commit, path, count) => {
        const versions: string[] = [];
        for (let at: Commit | undefined = known(commit); at !== undefined && versions.length < count;) {
          const parent: Commit | undefined = at.parent === undefined ? undefined : commits.get(at.parent);
          const text = at.files.get(path);
          if (text !== undefined && text !== parent?.files.get(path)) versions.push(text);
          at = parent;
        }
        return versions;
      },
      commit: async (base, files, message) =>
        add(known(base), new Map([...known(base).files, ...Object.entries(files)]), message).id,
      push: async (commit, expected) => {
        if (!isAncestor(expected, commit))
          throw new PortError('protocol', 'repo', `${commit} is not based on ${expected}`);
        if (self.protected) return { refused: '[remote rejected] (protected branch)' };
        if (tip().id === commit) return 'pushed';
        if (tip().id !== expected) return 'moved';
        move(known(commit));
        return 'pushed';
      },
      isAncestor: async (ancestor, descendant) => isAncestor(ancestor, descendant),
    },
  };
  return self;
}
