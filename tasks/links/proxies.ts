/** The external proxies, over SSH with the six verbs. None when the task was given no connection to them. */
import { nginxProxy } from '../../cycle/edge/nginx/proxy.ts';
import { ssh } from '../../ports/ssh.ts';
import { secretPart } from '../connections.ts';
import type { Link } from './link.ts';

export const proxies: Link = {
  ports: { ssh },
  open(agent, ctx) {
    const connection = agent.connection('proxy');
    if (connection === undefined) return Promise.resolve(undefined);
    const privateKey = secretPart(agent, connection, 'privateKey').reveal();
    ctx.proxies = ctx.config.proxies.map(({ name, host, port, user, hostKey }) =>
      nginxProxy({
        name,
        target: { host, port, user, privateKey, hostKeys: [hostKey] },
        ssh: ctx.ports.ssh,
        random: ctx.ports.random,
      }),
    );
    return Promise.resolve(undefined);
  },
};
