/** Where the bridge keeps its files, below `dataDir`. */
import { join } from 'node:path';

export const placesIn = (dataDir: string) => ({
  log: join(dataDir, 'audit.log'),
  jobs: join(dataDir, 'jobs'),
  records: join(dataDir, 'records'),
  clients: join(dataDir, 'clients'),
  clientCertificate: (name: string) => join(dataDir, 'clients', `${name}.pem`),
  /** What admin commands did and the bridge has not yet put into its log: the log has one writer. */
  admin: join(dataDir, 'admin'),
  serverCertificate: join(dataDir, 'server.crt'),
  serverKey: join(dataDir, 'server.key'),
  lock: join(dataDir, 'bridge.lock'),
});
