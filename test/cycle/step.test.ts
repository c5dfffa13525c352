/** The engine over a toy world: what it takes, what it waits for, and how it ends. */
import assert from 'node:assert/strict';
import { CodedError, type ErrorCode } from '../../ports/errors.ts';
import { PortError, type Clock } from '../../ports/ports.ts';
import type { RunEventBody } from '../../cycle/record.ts';
import {
  converge,
  foresee,
  refuse,
  Refused,
  type Action,
  type Engine,
  type Plan,
  type Step,
} from '../../cycle/step.ts';

/** What is done already, by name. */
type Toy = Readonly<Record<string, boolean>>;

interface Lab {
  world: Record<string, boolean>;
  nowMs: number;
  events: RunEventBody[];
  /** What happened, in order: `observe`, `fresh`, `apply a`. */
  trace: string[];
  abort: AbortController;
  engine: Engine<Toy>;
}

function lab(over: Partial<Engine<Toy>> = {}): Lab {
  const abort = new AbortController();
  const self: Lab = { world: {}, nowMs: 1_000, events: [], trace: [], abort, engine: undefined as never };
  const clock: Clock = {
    now: () => self.nowMs,
    sleep: async (ms, signal) => {
      if (signal?.aborted === true) throw new PortError('aborted', 'clock', 'aborted');
      self.nowMs += ms;
      await Promise.resolve();
    },
  };
  self.engine = {
    clock,
    record: (event) => self.events.push(event),
    signal: abort.signal,
    pollMs: 100,
    observeMs: 1_000,
    ...over,
  };
  return self;
}

function act(self: Lab, id: string, over: Partial<Action<Toy>> = {}): Action<Toy> {
  return {
    id,
    reason: `${id} is missing`,
    apply: async () => {
      self.trace.push(`apply ${id}`);
      self.world[id] = true;
    },
    done: (o) => o[id] === true,
    settleMs: 500,
    predict: (o) => ({ ...o, [id]: true }),
    ...over,
  };
}

/** A plan of those that are not done, in this order. */
function stepOf(self: Lab, actions: readonly Action<Toy>[], over: Partial<Step<Toy>> = {}): Step<Toy> {
  return {
    name: 'Toy',
    observe: async (_signal, fresh) => {
      self.trace.push(fresh ? 'fresh' : 'observe');
      return { ...self.world };
    },
    plan: (o) => actions.filter((action) => !action.done(o)),
    ...over,
  };
}

async function failure(work: Promise<unknown>): Promise<CodedError> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof CodedError, String(error));
    return error;
  }
  return assert.fail('it ended well');
}

describe('The step engine', () => {
  it('applies the first missing action, looks again, and ends when nothing is missing', async () => {
    const self = lab();
    self.world['b'] = true;
    const step = stepOf(
      self,
      ['a', 'b', 'c'].map((id) => act(self, id)),
    );
    const outcome = await converge(step, self.engine);
    assert.deepEqual(outcome, { kind: 'done', observed: { a: true, b: true, c: true }, actions: ['a', 'c'] });
    assert.deepEqual(self.trace, ['observe', 'apply a', 'observe', 'apply c', 'observe']);
  });

  it('does nothing when nothing is missing', async () => {
    const self = lab();
    const outcome = await converge(stepOf(self, []), self.engine);
    assert.deepEqual(outcome, { kind: 'done', observed: {}, actions: [] });
    assert.deepEqual(self.events, []);
  });

  it('only watches when an action is a wait, until it is done', async () => {
    const self = lab();
    const wait = act(self, 'ready', { apply: undefined, done: () => self.nowMs >= 1_300 });
    const outcome = await converge(stepOf(self, [wait]), self.engine);
    assert.equal(outcome.kind, 'done');
    assert.equal(self.nowMs, 1_300);
  });

  it('gives a wait its time once, not twice', async () => {
    const self = lab();
    const error = await failure(
      converge(stepOf(self, [act(self, 'ready', { apply: undefined })]), self.engine),
    );
    assert.equal(error.code, 'NC1010');
    assert.equal(self.nowMs, 1_500);
  });

  it('gives a wait no more than its time when the clock is put back in the middle', async () => {
    const self = lab();
    let polls = 0;
    const sleep = self.engine.clock.sleep.bind(self.engine.clock);
    self.engine.clock = {
      ...self.engine.clock,
      sleep: async (ms, signal) => {
        polls += 1;
        await sleep(ms, signal);
        if (polls === 3) self.nowMs -= 86_400_000;
        assert.ok(polls < 50, 'still waiting');
      },
    };
    const wait = act(self, 'never', { apply: undefined });
    await assert.rejects(
      converge(stepOf(self, [wait]), self.engine),
      (error: CodedError) => error.code === 'NC1010',
    );
    assert.equal(polls, 6);
  });

  it('gives an applied action until settleMs to be seen, and applies it once', async () => {
    const self = lab();
    let appliedAtMs = Infinity;
    const late = act(self, 'late', {
      apply: async () => {
        self.trace.push('apply late');
        appliedAtMs = self.nowMs;
      },
      done: () => self.nowMs >= appliedAtMs + 400,
    });
    const outcome = await converge(stepOf(self, [late]), self.engine);
    assert.equal(outcome.kind, 'done');
    assert.equal(self.trace.filter((line) => line === 'apply late').length, 1);
  });

  it('applies an action once more when it had no effect, then says no progress, with before and after', async () => {
    const self = lab();
    const dud = act(self, 'dud', {
      apply: async () => {
        self.trace.push('apply dud');
        self.world['touched'] = true;
      },
    });
    const error = await failure(converge(stepOf(self, [dud]), self.engine));
    assert.equal(error.code, 'NC1010');
    assert.equal(self.trace.filter((line) => line === 'apply dud').length, 2);
    assert.deepEqual(error.evidence, ['before: {"touched":true}', 'after: {"touched":true}']);
    assert.match(error.message, /Toy: dud \(dud is missing\)/);
  });

  it('succeeds when the second time has the effect', async () => {
    const self = lab();
    let times = 0;
    const shy = act(self, 'shy', {
      apply: async () => {
        times += 1;
        if (times === 2) self.world['shy'] = true;
      },
    });
    assert.deepEqual((await converge(stepOf(self, [shy]), self.engine)).actions, ['shy']);
  });

  it('goes on when apply fails although the far side did it', async () => {
    const self = lab();
    const lost = act(self, 'lost', {
      apply: async () => {
        self.world['lost'] = true;
        throw new PortError('closed', 'http', 'the connection ended', true);
      },
    });
    const outcome = await converge(stepOf(self, [lost, act(self, 'next')]), self.engine);
    assert.deepEqual(outcome.actions, ['lost', 'next']);
    assert.deepEqual(
      self.events.map(({ kind }) => kind),
      ['plan', 'action.started', 'action.failed', 'action.done', 'action.started', 'action.done'],
    );
  });

  it('tries at once again when apply fails without effect, and then tells why it failed', async () => {
    const self = lab();
    const broken = act(self, 'broken', { apply: () => Promise.reject(new Error('disk full')) });
    const error = await failure(converge(stepOf(self, [broken]), self.engine));
    assert.equal(error.code, 'NC1010');
    assert.equal(error.evidence[0], 'disk full');
    assert.equal((error.cause as Error).message, 'disk full');
    assert.equal(self.nowMs, 1_000);
  });

  it('ends as refused when apply finds what forbids it, and lists what was done before', async () => {
    const self = lab();
    const refusal = refuse('NC1013', 'the lock moved');
    const stop = act(self, 'stop', { apply: () => Promise.reject(new Refused(refusal)) });
    const outcome = await converge(stepOf(self, [act(self, 'a'), stop, act(self, 'z')]), self.engine);
    assert.deepEqual(outcome, { kind: 'refused', refusal, actions: ['a'] });
    assert.equal(self.world['z'], undefined);
  });

  it('ends as refused when the plan is a refusal, also in the middle', async () => {
    const self = lab();
    const refusal = refuse('NC1212', 'nobody would serve', ['evidence']);
    const first = act(self, 'a');
    const step = stepOf(self, [], { plan: (o): Plan<Toy> => (o['a'] === true ? refusal : [first]) });
    assert.deepEqual(await converge(step, self.engine), { kind: 'refused', refusal, actions: ['a'] });
  });

  it('stops a plan that never ends', async () => {
    const self = lab();
    let turn = 0;
    const step = stepOf(self, [], {
      plan: () => [act(self, `again ${(turn += 1)}`, { done: () => true })],
    });
    const error = await failure(converge(step, self.engine));
    assert.equal(error.code, 'NC1014');
    const seen = foresee({ plan: () => [act(self, 'again', { predict: (o) => o })] }, {});
    assert.equal(seen.refusal?.code, 'NC1014');
  });

  it('records the plan, each action with its reason, and how long it took', async () => {
    const self = lab();
    const slow = act(self, 'a', { done: () => self.nowMs >= 1_200, irreversible: true });
    await converge(stepOf(self, [slow]), self.engine);
    assert.deepEqual(self.events, [
      { kind: 'plan', step: 'Toy', actions: [{ id: 'a', reason: 'a is missing', irreversible: true }] },
      { kind: 'action.started', id: 'a', reason: 'a is missing', irreversible: true, wait: false },
      { kind: 'action.done', id: 'a', durationMs: 200 },
    ]);
  });
});

describe('An irreversible action', () => {
  it('is planned again on a fresh observation, and guarded, before it is taken', async () => {
    const self = lab();
    self.engine.guard = async (observed, action) => {
      self.trace.push(`guard ${action.id} ${Object.keys(observed).join()}`);
      return undefined;
    };
    await converge(stepOf(self, [act(self, 'a'), act(self, 'cut', { irreversible: true })]), self.engine);
    assert.deepEqual(self.trace, [
      'observe',
      'apply a',
      'observe',
      'fresh',
      'guard cut a',
      'apply cut',
      'observe',
    ]);
  });

  it('is not taken when the guard objects', async () => {
    const self = lab();
    const refusal = refuse('NC1013', 'another run took over');
    self.engine.guard = () => Promise.resolve(refusal);
    const outcome = await converge(
      stepOf(self, [act(self, 'a'), act(self, 'cut', { irreversible: true })]),
      self.engine,
    );
    assert.deepEqual(outcome, { kind: 'refused', refusal, actions: ['a'] });
    assert.ok(!self.trace.includes('apply cut'));
  });

  it('is not taken when the fresh observation shows another first action', async () => {
    const self = lab();
    const step = stepOf(self, [act(self, 'repair'), act(self, 'cut', { irreversible: true })], {
      observe: async (_signal, fresh) => {
        if (fresh && !self.trace.includes('broke')) {
          self.trace.push('broke');
          self.world['repair'] = false;
        }
        return { ...self.world };
      },
    });
    self.world['repair'] = true;
    assert.deepEqual((await converge(step, self.engine)).actions, ['repair', 'cut']);
    assert.deepEqual(self.trace, ['broke', 'apply repair', 'apply cut']);
  });

  it('is not taken when the fresh observation shows that it is done, or refuses', async () => {
    const self = lab();
    const cut = act(self, 'cut', { irreversible: true });
    const elsewhere = stepOf(self, [cut], {
      observe: async (_signal, fresh) => (fresh ? (self.world = { cut: true }) : { ...self.world }),
    });
    assert.deepEqual((await converge(elsewhere, self.engine)).actions, []);
    const other = lab();
    const step = stepOf(other, [], {
      observe: async (_signal, fresh) => ({ sick: fresh }),
      plan: (o) =>
        o['sick'] === true ? refuse('NC1230', 'sick') : [act(other, 'cut', { irreversible: true })],
    });
    assert.equal((await converge(step, other.engine)).kind, 'refused');
    assert.deepEqual(other.trace, []);
  });

  it('is taken with the values of the fresh plan, not with those of the first', async () => {
    const self = lab();
    let seen = 0;
    const step: Step<Toy> = {
      name: 'Toy',
      observe: async () => ({ ...self.world }),
      plan: (o) => {
        if (o['cut'] === true) return [];
        const value = (seen += 1);
        return [
          act(self, 'cut', {
            irreversible: true,
            apply: async () => {
              self.trace.push(`apply value ${value}`);
              self.world['cut'] = true;
            },
          }),
        ];
      },
    };
    await converge(step, self.engine);
    assert.deepEqual(self.trace, ['apply value 2']);
  });

  it('asks no guard for what can be taken back', async () => {
    const self = lab({ guard: () => Promise.resolve(refuse('NC1013', 'never asked')) });
    assert.equal((await converge(stepOf(self, [act(self, 'a')]), self.engine)).kind, 'done');
  });
});

describe('A cancelled step', () => {
  const cancelled = async (self: Lab, step: Step<Toy>) => {
    const error = await failure(converge(step, self.engine));
    assert.equal(error.code, 'NC1012');
  };

  it('ends before it looks when it was cancelled already', async () => {
    const self = lab();
    self.abort.abort();
    await cancelled(self, stepOf(self, [act(self, 'a')]));
    assert.deepEqual(self.trace, []);
  });

  it('ends when apply is cut off, whatever apply says', async () => {
    for (const end of [() => Promise.reject(new Error('killed')), () => Promise.resolve()]) {
      const self = lab();
      const cut = act(self, 'a', {
        apply: () => {
          self.abort.abort();
          return end();
        },
      });
      await cancelled(self, stepOf(self, [cut, act(self, 'b')]));
      assert.ok(!self.trace.includes('apply b'));
    }
  });

  it('ends in the middle of a wait, without waiting it out', async () => {
    const self = lab();
    const wait = act(self, 'ready', { apply: undefined, settleMs: 3_600_000 });
    const step = stepOf(self, [wait], {
      observe: async () => {
        if (self.nowMs >= 1_200) self.abort.abort();
        return {};
      },
    });
    await cancelled(self, step);
    assert.ok(self.nowMs <= 1_300);
  });

  it('ends when an observation is cut off', async () => {
    const self = lab();
    const step = stepOf(self, [], {
      observe: () => {
        self.abort.abort();
        return Promise.reject(new PortError('aborted', 'http', 'aborted'));
      },
    });
    await cancelled(self, step);
  });
});

describe('An observation that fails', () => {
  const passing: (() => Error)[] = [
    () => new PortError('unreachable', 'http', 'no route'),
    ...(['NC2005', 'NC2007', 'NC3010', 'NC3101', 'NC4040'] as ErrorCode[]).map(
      (code) => () => new CodedError(code, 'restarting'),
    ),
  ];

  it('is asked again while the far side may come back, and told once', async () => {
    for (const error of passing) {
      const self = lab();
      let tries = 0;
      const step = stepOf(self, [], {
        observe: async () => {
          tries += 1;
          if (tries <= 5) throw error();
          return {};
        },
      });
      assert.equal((await converge(step, self.engine)).kind, 'done');
      assert.equal(self.events.filter(({ kind }) => kind === 'wait').length, 1);
    }
  });

  it('ends the step when it fails longer than observeMs, with the last reason', async () => {
    const self = lab();
    const step = stepOf(self, [], {
      observe: () => Promise.reject(new PortError('timeout', 'ssh', 'silent')),
    });
    const error = await failure(converge(step, self.engine));
    assert.equal(error.code, 'NC1011');
    assert.deepEqual(error.evidence, ['silent']);
    assert.equal(self.nowMs, 2_000);
  });

  it('ends the step at once for any other error', async () => {
    const self = lab();
    const step = stepOf(self, [], { observe: () => Promise.reject(new CodedError('NC3201', 'line 3')) });
    assert.equal((await failure(converge(step, self.engine))).code, 'NC3201');
    await assert.rejects(
      converge(stepOf(self, [], { observe: () => Promise.reject(new TypeError('defect')) }), self.engine),
      TypeError,
    );
    assert.equal(self.nowMs, 1_000);
  });
});

describe('The dry run', () => {
  /** Small, seeded and repeatable: the same seed, the same world. */
  function randoms(seed: number): (below: number) => number {
    let state = seed * 2_654_435_761 + 1;
    return (below) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
  }

  it('foresees exactly the actions that are then taken, in 300 random worlds', async () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = randoms(seed);
      const self = lab({ guard: () => Promise.resolve(undefined) });
      const count = 1 + random(8);
      const readyAtMs = new Map<string, number>();
      const actions = Array.from({ length: count }, (_unused, index) => {
        const id = `a${index}`;
        const lagMs = random(4) * 100;
        const wait = random(4) === 0;
        // An action may undo an earlier one, once: order and repetition have to be foreseen as well.
        const undoes = index > 0 && random(5) === 0 ? `a${random(index)}` : undefined;
        const change = (o: Record<string, boolean>) => ({
          ...o,
          ...(undoes === undefined ? {} : { [undoes]: false }),
          [id]: true,
        });
        return act(self, id, {
          irreversible: !wait && random(3) === 0,
          apply: wait ? undefined : () => Promise.resolve(void readyAtMs.set(id, self.nowMs + lagMs)),
          predict: wait ? (o) => ({ ...o, [id]: true }) : change,
          ...(wait ? { apply: undefined } : {}),
        });
      });
      const changes = new Map(actions.map((action) => [action.id, action]));
      if (random(2) === 0) self.world[`a${random(count)}`] = true;
      const step = stepOf(self, actions, {
        observe: async () => {
          for (const [id, atMs] of readyAtMs) {
            if (self.nowMs < atMs) continue;
            self.world = { ...changes.get(id)?.predict(self.world) };
            readyAtMs.delete(id);
          }
          // What is waited for comes by itself once everything before it is there.
          const first = actions.find((action) => !action.done(self.world));
          if (first !== undefined && first.apply === undefined && self.nowMs % 300 === 0)
            self.world[first.id] = true;
          return { ...self.world };
        },
      });
      const foreseen = foresee(step, { ...self.world });
      const ids = foreseen.actions.map(({ id }) => id);
      if (foreseen.refusal !== undefined) {
        assert.equal((await failure(converge(step, self.engine))).code, 'NC1014');
        continue;
      }
      const outcome = await converge(step, self.engine);
      // A wait that is over before the plan is made again is no action any more.
      const isWait = (id: string) => changes.get(id)?.apply === undefined;
      assert.deepEqual(
        outcome.actions.filter((id) => !isWait(id)),
        ids.filter((id) => !isWait(id)),
        `seed ${seed}`,
      );
      assert.deepEqual(outcome.kind === 'done' && outcome.observed, foreseen.after, `seed ${seed}`);
    }
  });

  it('says as a refusal what an edit could not do, and takes nothing', () => {
    const self = lab();
    const edit = act(self, 'edit', {
      predict: () => {
        throw new CodedError('NC3204', 'a flow list', ['line 3']);
      },
    });
    const seen = foresee(stepOf(self, [act(self, 'a'), edit]), {});
    assert.deepEqual([seen.refusal?.code, seen.refusal?.evidence], ['NC3204', ['line 3']]);
    assert.deepEqual(self.trace, []);
  });

  it('does not hide a defect as a refusal', () => {
    assert.throws(
      () =>
        foresee(
          {
            plan: () => {
              throw new TypeError('defect');
            },
          },
          {},
        ),
      TypeError,
    );
  });
});
