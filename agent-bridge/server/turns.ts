/**
 * What a client asks for while so much of it is under way waits for that client's own, so that nobody's patience but
 * its own is used up.
 */

/** Gives undefined when the caller had gone before his turn came. */
export type InTurn = <T>(
  client: string,
  signal: AbortSignal,
  act: () => Promise<T>,
) => Promise<T | undefined>;

/** `limit`: acts of one client at a time. */
export function turns(limit: number): InTurn {
  const clients = new Map<string, { running: number; waiting: (() => void)[] }>();
  return async (client, signal, act) => {
    const mine = clients.get(client) ?? { running: 0, waiting: [] };
    clients.set(client, mine);
    // Whoever ends hands his place on, so that nobody slips in between.
    if (mine.running >= limit) await new Promise<void>((resolve) => mine.waiting.push(resolve));
    else mine.running += 1;
    try {
      return signal.aborted ? undefined : await act();
    } finally {
      const next = mine.waiting.shift();
      if (next) next();
      else mine.running -= 1;
      if (mine.running === 0) clients.delete(client);
    }
  };
}
