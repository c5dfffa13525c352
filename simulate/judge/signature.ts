/** A short text that changes when anything changes that an invariant looks at; cheap, since it is asked after every event. */
import type { Setting } from '../outside/setting.ts';
import { holderOf } from './seen.ts';

export function signatureOf(setting: Setting): () => string {
  const { world, etcd, proxy, zone, repo, gitops } = setting;
  let version = 0;
  let holder = holderOf(setting);
  const bump = () => void (version += 1);
  world.kube.store.on(({ type, resource, object, before }) => {
    if (resource === 'leases') holder = holderOf(setting);
    if (resource !== 'nodes') return;
    if (type !== 'MODIFIED' || stateOf(object) !== stateOf(before)) bump();
  });
  world.on((event) => {
    if (event.kind !== 'kube.changed') bump();
  });
  repo.onPush(bump);
  gitops.onPush(bump);
  let loaded = proxy.loaded();
  let held = zone.servers.map((server) => zone.records(server));
  return () => {
    const nowLoaded = proxy.loaded();
    const nowHeld = zone.servers.map((server) => zone.records(server));
    if (nowLoaded !== loaded || nowHeld.some((records, at) => records !== held[at])) bump();
    loaded = nowLoaded;
    held = nowHeld;
    const vms = world.hosts.vms().map(({ id, state, name }) => `${id.slice(0, 4)}${state}${name}`);
    const members = etcd.members().map(({ id, running }) => `${id}${running ? '+' : '-'}`);
    return `${version} ${holder} ${vms.join()} ${members.join()} ${world.kube.away.size}`;
  };
}

function stateOf(object: unknown): string {
  const node = object as
    | { spec?: { unschedulable?: boolean }; status?: { conditions?: { type: string; status: string }[] } }
    | undefined;
  const ready = node?.status?.conditions?.find(({ type }) => type === 'Ready')?.status ?? '';
  return `${ready} ${node?.spec?.unschedulable === true ? 'cordoned' : ''}`;
}
