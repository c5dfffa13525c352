/**
 * One job over an open connection, from its submission to its end: policy, log with fsync, a read of what is there,
 * supervisor, a child that runs `true`, and the news of its end. Beside it `ssh` runs `true` over the open connection
 * of a master, without policy, log, or a job that outlives the connection. It is shown, and has no goal.
 */
import { withBridge } from '../bridge.ts';
import type { Figure } from '../figure.ts';
import { inTurn } from '../in-turn.ts';
import { withSsh } from '../ssh.ts';

export const figure: Figure = {
  ...{ name: 'bridge.job', unit: 'ms', peerName: 'ssh, open master', goal: undefined, goalOn: 'ratio' },
  rounds: 15,
  measure: (rounds) =>
    withSsh((ssh) => withBridge(({ job, read }) => inTurn(rounds, job, ssh.overOpenConnection, read))),
};
