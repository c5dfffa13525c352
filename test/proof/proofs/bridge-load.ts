import { cutLog, hundredPosts, loadWorld, stopParams, switchOn } from '../../agent-bridge/load/load-world.ts';
import type { CutLog } from '../../agent-bridge/load/load-world.ts';
import { besideSlow } from '../../agent-bridge/load/slow-callers.ts';
import { WAIT, key } from '../../agent-bridge/support/rig.ts';
import type { Proof } from '../proof.ts';

const LOG_BYTES = 50_000_000;
const CUTS = 1_000;
const SLOW = 500;
const SLOW_FOR_MS = 30_000;
const P99_LIMIT_MS = 50;

const yes = (is: boolean): string => (is ? 'yes' : 'no');

export const proof: Proof = {
  name: 'bridge-load',
  title: 'A bridge whose callers are cut off, all come at once, or never finish',
  about:
    'The real bundles run as processes, over TLS on the loopback. A proxy (`test/agent-bridge/load/cutting-line.ts`) cuts connections at random places, in handshakes, heads and bodies; the first reader is the client of the tasks and reads while the log is written, the second goes on at the very byte at which it was cut. Half of the slow connections are strangers’, silent or in half a handshake, half are listed clients’, with a head or a body that never ends; who is cut off comes back at once. They run in one process with the client whose reads are measured.',
  async run() {
    const r = await loadWorld();
    try {
      const { client, atTheByte, isDone } = await cutLog(r, { mine: key(1), bytes: LOG_BYTES, cuts: CUTS });
      const posts = await hundredPosts(r, key(2));
      switchOn(r);
      const beforeEnd: { job?: string } = {};
      const beside = await besideSlow(r, { slow: SLOW, forMs: SLOW_FOR_MS }, async () => {
        const job = await r.client().submit('vm.stop', stopParams, key(3), WAIT);
        beforeEnd.job = (await r.client().waitFor(job, WAIT)).kind;
      });
      const cutRow = (who: string, read: CutLog) => [
        who,
        read.bytes,
        read.cuts,
        yes(read.isExact),
        yes(read.isWhole),
      ];
      return {
        claims: [
          {
            claim: `${LOG_BYTES / 1e6} MB of log byte for byte through at least ${CUTS} lost connections, and the job is not disturbed`,
            holds:
              isDone &&
              [client, atTheByte].every((read) => read.isExact && read.isWhole && read.cuts >= CUTS),
          },
          {
            claim: '100 parallel posts with one key make one job, which runs once',
            holds:
              posts.posts === 100 &&
              posts.jobs === 1 &&
              posts.accepted === 1 &&
              posts.runs === 1 &&
              posts.isDone,
          },
          {
            claim: `beside ${SLOW} slow connections reads go on, p99 at most ${P99_LIMIT_MS} ms, and a new job runs`,
            holds: beforeEnd.job === 'done' && beside.open >= SLOW * 0.9 && beside.p99Ms <= P99_LIMIT_MS,
          },
        ],
        tables: [
          {
            title: 'Lost connections',
            head: [
              'reader',
              'bytes',
              'connections cut',
              'equal to what is stored',
              'stored is what was printed',
            ],
            rows: [
              cutRow('the client, while it is written', client),
              cutRow('on from the very byte', atTheByte),
            ],
          },
          {
            title: 'Equal posts at once',
            head: ['posts', 'ids in the answers', 'jobs in the log', 'runs of the script'],
            rows: [[posts.posts, posts.jobs, posts.accepted, posts.runs]],
          },
          {
            title: 'Slow connections',
            head: ['open at once', 'opened in all', 'valid reads', 'p50, ms', 'p99, ms', 'worst, ms'],
            rows: [
              [
                beside.open,
                beside.made,
                beside.reads,
                ...[beside.p50Ms, beside.p99Ms, beside.worstMs].map((ms) => Number(ms.toFixed(1))),
              ],
            ],
          },
        ],
      };
    } finally {
      await r.end();
    }
  },
};
