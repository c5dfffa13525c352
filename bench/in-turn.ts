/** Ours and the peer's by turns, so that a busy moment of the machine meets both. */
import type { Measured } from './figure.ts';

/** The first round of each is not counted. `before` runs ahead of each of ours, outside the time. */
export async function inTurn(
  rounds: number,
  ours: () => Promise<unknown>,
  peer: () => Promise<unknown>,
  before: () => Promise<unknown> = async () => undefined,
): Promise<Measured> {
  const measured: Measured = { ours: [], peer: [] };
  for (let round = 0; round <= rounds; round += 1) {
    await before();
    const [mine, theirs] = [await timed(ours), await timed(peer)];
    if (round === 0) continue;
    measured.ours.push(mine);
    measured.peer.push(theirs);
  }
  return measured;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
