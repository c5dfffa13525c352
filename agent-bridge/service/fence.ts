/**
 * `fence`: shows a cluster's highest fence number, or gives it another one. For the day that a wrong number locks
 * the right runs out.
 */
import { join } from 'node:path';
import { CodedError } from '../../ports/errors.ts';
import { apply, emptyState } from '../log/fold.ts';
import { verifyFiles } from '../log/verify.ts';
import { Fence, Name } from '../protocol/shapes.ts';
import { newId } from '../server/accept.ts';
import type { BridgePolicy } from '../server/policy.ts';
import type { AdminPorts } from './adopt.ts';
import { placesIn } from './places.ts';

export async function fence(
  policy: BridgePolicy,
  [cluster = '', wanted]: readonly string[],
  ports: AdminPorts,
): Promise<number> {
  const { disk, clock, random, print } = ports;
  if (!Name.safeParse(cluster).success)
    throw new CodedError('NC2010', `fence needs a cluster's name, found ${JSON.stringify(cluster)}.`);
  const places = placesIn(policy.dataDir);
  const state = emptyState();
  verifyFiles(disk, places.log, (entry) => apply(state, entry));
  const seen = state.fences.get(cluster);
  print(
    `${cluster}: ${seen === undefined ? 'no fence number was seen yet' : `the highest fence is ${seen}`}.`,
  );
  if (wanted === undefined) return 0;
  const number = /^[0-9]{1,15}$/.test(wanted) ? Fence.safeParse(Number(wanted)) : undefined;
  if (!number?.success)
    throw new CodedError('NC2010', `fence ${cluster} needs a whole number, found ${JSON.stringify(wanted)}.`);
  const question = `From now on take fence numbers of ${cluster} from ${number.data} on?`;
  if (!(await ports.confirm(question))) return 1;
  const at = new Date(clock.now()).toISOString();
  disk.makeDir(places.admin);
  disk.write(
    join(places.admin, `${at.replaceAll(':', '')}-${newId(random)}.json`),
    JSON.stringify({ cluster, fence: number.data, at }),
  );
  print('A bridge that runs takes it within a second, another one when it starts.');
  return 0;
}
