/** One row for each set of roles, each gate and each answer; a file of tests for each kind of gate. */
import assert from 'node:assert/strict';
import type { ApprovalAnswer, ApprovalRequest } from '../../lab/runner/run.ts';
import { GATED } from './files.ts';
import { createToyTasks, due, wayOf, type ToyTasks } from './toy-tasks.ts';

const NODES: readonly [what: string, roles: string, state: 'alive' | 'dead'][] = [
  ['a worker', 'worker', 'alive'],
  ['etcd', 'etcd', 'alive'],
  ['the control plane', 'controlplane', 'alive'],
  ['etcd and worker', 'etcd worker', 'alive'],
  ['control plane and worker', 'controlplane worker', 'alive'],
  ['control plane and etcd', 'controlplane etcd', 'alive'],
  ['all roles', 'controlplane etcd worker', 'alive'],
  ['a dead node with all roles', 'controlplane etcd worker', 'dead'],
];
const MINUTE_MS = 200;

export function describeGates(kind: 'environment' | 'manual'): void {
  describe(`gates: ${kind}`, () => {
    let toys: ToyTasks;
    before(() => {
      toys = createToyTasks();
    });
    after(() => toys.end());

    for (const [what, roles, state] of NODES) {
      const way = wayOf(roles, state);
      const gates = way.filter((name) => GATED.includes(name));
      const plans = { 1: due(roles, state) };
      const options = { parameters: { gates: kind }, minuteMs: MINUTE_MS };

      it(`${what}: approved at ${gates.join(', ')}, it is replaced`, async () => {
        const asked: ApprovalRequest[] = [];
        const approve = (request: ApprovalRequest): Promise<ApprovalAnswer> => {
          asked.push(request);
          return Promise.resolve('approve');
        };
        const { result, worked } = await toys.run(plans, { ...options, approve });
        assert.equal(result.outcome, 'succeeded');
        assert.deepEqual(worked, [...way.map((name) => `${name}_1`), 'release']);
        assert.deepEqual(
          asked.map((request) => `${request.kind} ${request.stage}`),
          gates.map((gate) => `${kind} ${gate}_1`),
        );
        for (const request of asked) {
          if (kind === 'environment') assert.equal(request.environment, 'node-cycle');
          else {
            // The person at the gate reads which node it is, and has almost two days.
            assert.match(request.description, /old-1/);
            assert.equal(Math.round(request.deadlineMs / MINUTE_MS), 2879);
          }
        }
      });

      for (const gate of gates) {
        for (const answer of ['reject', 'timeout', 'cancel'] as const) {
          it(`${what}: ${answer} at ${gate} lets nothing run after it but the release`, async () => {
            const person = new AbortController();
            const approve = ({ stage }: ApprovalRequest): Promise<ApprovalAnswer> => {
              if (stage !== `${gate}_1`) return Promise.resolve('approve');
              if (answer !== 'cancel') return Promise.resolve(answer);
              person.abort();
              return new Promise(() => undefined);
            };
            const { result, worked } = await toys.run(plans, { ...options, approve, signal: person.signal });
            const before = way.slice(0, way.indexOf(gate));
            assert.deepEqual(worked, [...before.map((name) => `${name}_1`), 'release']);
            assert.equal(result.outcome, answer === 'cancel' ? 'canceled' : 'failed');
          });
        }
      }
    }
  });
}
