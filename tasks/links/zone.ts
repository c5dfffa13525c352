/** The DNS zone: RFC 2136 with a TSIG key, or the Windows zone through the bridge. */
import { rfc2136Zone, tsigKeyFile } from '../../cycle/edge/dns/rfc2136.ts';
import { windowsZone } from '../../cycle/edge/dns/windows.ts';
import { dns as ask } from '../../ports/dns.ts';
import { bridgeDns } from '../bridge-dns.ts';
import { secretPart } from '../connections.ts';
import type { Link } from './link.ts';

export const zone: Link = {
  ports: { dns: ask },
  async open(agent, ctx) {
    const { dns } = ctx.config;
    const [primary, ...others] = dns?.servers ?? [];
    if (dns === undefined || primary === undefined) return undefined;
    if (dns.adapter === 'windows') {
      ctx.dns = windowsZone({ zone: dns.zone, servers: [primary, ...others], bridge: bridgeDns(ctx) });
      return undefined;
    }
    const connection = agent.connection('tsig');
    if (connection === undefined) return undefined;
    const { files, random, run } = ctx.ports;
    const keyFile = `${ctx.stateDir}/tsig-${Buffer.from(random.bytes(8)).toString('hex')}.key`;
    const name = dns.keyName ?? connection.secret('username')?.reveal() ?? 'node-cycle';
    const key = tsigKeyFile(name, dns.keyAlgorithm, secretPart(agent, connection, 'password'));
    await files.create(keyFile, key, 0o600);
    ctx.dns = rfc2136Zone({
      zone: dns.zone,
      servers: dns.servers,
      dns: ctx.ports.dns,
      run,
      keyFile,
      env: ctx.env,
    });
    return () => files.remove(keyFile);
  },
};
