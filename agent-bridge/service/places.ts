/** Where the bridge keeps its files, below `dataDir`. */
import { join } from 'node:path';

export const placesIn = (dataDir: string) => ({
  log: join(dataDir, 'audit.log'),
  /** Room for the ends of jobs on a full disk. */
  reserve: join(dataDir, 'reserve'),
  jobs: join(dataDir, 'jobs'),
  /** The request of the read that the warm session answers. */
  request: join(dataDir, 'request'),
  records: join(dataDir, 'records'),
  clients: join(dataDir, 'clients'),
  /** One certificate; two while the client changes from one to the next. */
  clientCertificate: (name: string) => join(dataDir, 'clients', `${name}.pem`),
  /** What admin commands did and the bridge has not yet put into its log: the log has one writer. */
  admin: join(dataDir, 'admin'),
  /** Written by admin commands only; the service's account just reads it. */
  keys: join(dataDir, 'keys'),
  serverCertificate: join(dataDir, 'keys', 'server.crt'),
  serverKey: join(dataDir, 'keys', 'server.key'),
  /** The server's next certificate, from `rotate` to `rotate --finish`. */
  nextCertificate: join(dataDir, 'keys', 'server-next.crt'),
  nextKey: join(dataDir, 'keys', 'server-next.key'),
  lock: join(dataDir, 'bridge.lock'),
});
