/** The ports of one task's process, over the wire. */
import { setMaxListeners } from 'node:events';
import type { Context } from '../../cycle/context.ts';
import { PortError, type Ports, type Repo, type Wait } from '../../ports/ports.ts';
import type { Chance } from '../chance.ts';
import { sshTo } from '../outside/guests.ts';
import { answerHttp, farOf } from '../outside/http.ts';
import { programs, type Programs } from '../outside/programs.ts';
import { RKE_BINARY } from '../outside/input.ts';
import type { Repository } from '../outside/repository.ts';
import type { Setting } from '../outside/setting.ts';
import { filesOf } from '../outside/storage.ts';
import { clockOf, type Life, type VirtualTime } from '../time.ts';
import type { Call, Wire } from '../wire.ts';

export interface AgentMachine {
  /** Ports and repositories of a process of this machine. */
  open(who: Life): Pick<Context, 'repo' | 'gitops'> & { ports: Ports };
  programs: Programs;
}

export function agentMachine(options: {
  setting: Setting;
  time: VirtualTime;
  wire: Wire;
  chance: Chance;
  skewMs(): number;
  rkeEndsInMs(): number | undefined;
}): AgentMachine {
  const { setting, time, wire } = options;
  const { input } = setting;
  const http = answerHttp(setting.http);
  const ssh = sshTo(
    setting.world,
    { port: input.example.ports.ssh, key: input.example.nodeKey },
    setting.account,
  );
  const started = programs({
    store: setting.agent,
    rkeBinary: RKE_BINARY,
    rke: setting.rke,
    zone: setting.zone,
    nodeKey: input.example.nodeKey,
    rkeEndsInMs: options.rkeEndsInMs,
  });
  const files = filesOf(setting.agent);

  const repoOver = (who: Life, store: Repository, far: 'git' | 'gitops'): Repo => {
    const over =
      <A extends unknown[], R>(what: string, act: (...args: [...A, Wait]) => Promise<R>, local = false) =>
      (...args: [...A, Wait]): Promise<R> => {
        const wait = args.at(-1) as Wait;
        const call: Call = {
          port: 'repo',
          far: local ? 'files' : far,
          at: '',
          what: `git ${what}`,
          read: what === 'tip',
        };
        return wire.call(who, call, wait, () => act(...args));
      };
    const { port } = store;
    return {
      tip: over('tip', port.tip),
      read: over('read', port.read, true),
      list: over('list', port.list, true),
      history: over('history', port.history, true),
      commit: over('commit', port.commit, true),
      push: over('push', port.push),
      isAncestor: over('isAncestor', port.isAncestor, true),
    };
  };

  return {
    programs: started,
    open: (who) => ({
      repo: repoOver(who, setting.repo, 'git'),
      gitops: repoOver(who, setting.gitops, 'gitops'),
      ports: {
        clock: clockOf(time, who, options.skewMs),
        random: { bytes: options.chance.bytes },
        files: fileOver(who),
        http(request) {
          const { pathname } = new URL(request.url);
          const far = farOf(setting.http, request);
          const at =
            far === 'kubernetes' || far === 'etcd' || far === 'ingress' ? new URL(request.url).hostname : '';
          const asks = request.method === 'GET' || /\/(read|member\/list|status|alarm)/.test(pathname);
          const call: Call = {
            port: 'http',
            far,
            at,
            what: `${request.method} ${plain(pathname)}`,
            read: asks,
          };
          return wire.call(who, call, request, (signal) => {
            setMaxListeners(0, signal);
            return http(request, signal);
          });
        },
        ssh: (request) => {
          const toProxy = request.target.host === setting.account.host;
          const call: Call = {
            port: 'ssh',
            far: toProxy ? 'proxy' : 'node',
            at: request.target.host,
            what: toProxy ? request.command : (request.command.split(/\s/)[0] ?? ''),
            read: false,
          };
          return wire.call(who, call, request, () => ssh(request));
        },
        dns(query) {
          const call: Call = {
            port: 'dns',
            far: 'dns',
            at: query.server,
            what: `${query.type} ${query.name}`,
            read: true,
          };
          return wire.call(who, call, query, async () => {
            if (setting.zone.away.has(query.server))
              throw new PortError('timeout', 'dns', `${query.server} does not answer`);
            return setting.zone.ask(query);
          });
        },
        run: (request) => {
          const call: Call = {
            port: 'run',
            far: 'program',
            at: '',
            what: started.nameOf(request),
            read: false,
          };
          return wire.call(who, call, request, (signal) => started.run(request, signal));
        },
        async connect({ host, port, deadlineMs, signal }) {
          const call: Call = { port: 'connect', far: 'node', at: host, what: `connect ${port}`, read: true };
          return wire.call(who, call, { deadlineMs, signal }, async () => {
            const machine = setting.world.machineAt(host);
            if (machine?.up !== true)
              throw new PortError('unreachable', 'connect', `${host} does not answer`);
            return { banner: machine.ssh === 'silent' ? '' : 'SSH-2.0-OpenSSH_8.9p1' };
          });
        },
      },
    }),
  };

  function fileOver(who: Life): Ports['files'] {
    const over =
      <A extends [string, ...unknown[]], R>(what: string, act: (...args: A) => Promise<R>) =>
      (...args: A): Promise<R> =>
        wire.call(who, { port: 'files', far: 'files', at: '', what: `file ${what}`, read: false }, {}, () =>
          act(...args),
        );
    return {
      read: over('read', files.read),
      write: over('write', files.write),
      create: over('create', files.create),
      list: over('list', files.list),
      stat: over('stat', files.stat),
      makeDir: over('makeDir', files.makeDir),
      remove: over('remove', files.remove),
    };
  }
}

/** Without ids that are the story's own. */
const plain = (path: string): string => path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '{id}');
