/** The job of `bridge.job` by a client that has no connection yet, against a new login of `ssh` that runs `true`. */
import { withBridge } from '../bridge.ts';
import type { Figure } from '../figure.ts';
import { inTurn } from '../in-turn.ts';
import { withSsh } from '../ssh.ts';

export const figure: Figure = {
  ...{ name: 'bridge.cold', unit: 'ms', peerName: 'ssh, new login', goal: 0.25, goalOn: 'ratio', rounds: 15 },
  measure: (rounds) =>
    withSsh((ssh) =>
      withBridge(({ fromNewConnection, job }) => inTurn(rounds, () => fromNewConnection(job), ssh.newLogin)),
    ),
};
