import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Endpoint, RunOptions } from '../../../lab/runner/run.ts';
import { createWorld, type Ran, type World } from './stage-world.ts';

const BRIDGE: Endpoint = {
  id: 'b1d6e2b0-1111-4222-8333-444455556666',
  url: 'https://127.0.0.9:8443',
  scheme: 'Certificate',
  authParameters: { 'client key': 'line one of key\nline two of key\nx', pass: 'bridge-pass' },
  data: { fence: 'open-data' },
};

describe('the agent of the runner', () => {
  let world: World;
  beforeEach(() => {
    world = createWorld();
  });
  afterEach(() => world.end());

  /** One job of steps, each given by its code and further lines of its step. */
  const run = (steps: [code: string, extra?: string][], options: Partial<RunOptions> = {}): Promise<Ran> =>
    world.run(
      `steps:\n- checkout: none\n${steps
        .map(([code, extra = ''], index) => {
          const inputs = `  inputs:\n    bridge: host\n    code: ${JSON.stringify(code)}\n`;
          return `- task: Play@1\n  name: S${index}\n${extra.replace(/^(?=.)/gm, '  ')}\n${inputs}`;
        })
        .join('')}`,
      { endpoints: { host: BRIDGE }, ...options },
    );

  const environmentOf = async (options: Partial<RunOptions> = {}): Promise<Record<string, string>> => {
    const file = join(world.root, 'env.json');
    await run(
      [
        [
          `require('fs').writeFileSync(${JSON.stringify(file)}, JSON.stringify(process.env))`,
          'env: { own.name: $(plain) }',
        ],
      ],
      {
        variables: { plain: 'value', 'Dotted.name here': 'd' },
        secrets: { token: 'tok-secret' },
        ...options,
      },
    );
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
  };

  it('gives inputs, defaults, endpoints, secrets and predefined variables as the real one does', async () => {
    process.env['OF_THE_MACHINE'] = 'not for tasks';
    const env = await environmentOf();
    delete process.env['OF_THE_MACHINE'];
    const id = BRIDGE.id;
    const expected: Record<string, string | undefined> = {
      INPUT_MODE: 'calm',
      INPUT_FLAG: 'true',
      INPUT_FILENAME: '',
      INPUT_BRIDGE: id,
      [`ENDPOINT_URL_${id}`]: BRIDGE.url,
      [`ENDPOINT_AUTH_SCHEME_${id}`]: 'Certificate',
      [`ENDPOINT_AUTH_PARAMETER_${id}_CLIENT_KEY`]: BRIDGE.authParameters['client key'],
      [`ENDPOINT_AUTH_PARAMETER_${id}_PASS`]: 'bridge-pass',
      [`ENDPOINT_DATA_${id}_FENCE`]: 'open-data',
      PLAIN: 'value',
      DOTTED_NAME_HERE: 'd',
      TOKEN: undefined,
      SECRET_TOKEN: 'tok-secret',
      'own.name': 'value',
      SYSTEM_COLLECTIONURI: 'https://dev.example/org/',
      SYSTEM_TEAMPROJECT: 'cluster',
      SYSTEM_DEFINITIONID: '7',
      SYSTEM_STAGENAME: '__default',
      SYSTEM_JOBNAME: 'Job',
      SYSTEM_STAGEATTEMPT: '1',
      BUILD_BUILDID: '42',
      BUILD_BUILDNUMBER: '20260102.1',
      AGENT_NAME: 'agent-1',
      AGENT_JOBSTATUS: 'Succeeded',
      TF_BUILD: 'True',
      OF_THE_MACHINE: undefined,
      PATH: process.env['PATH'],
    };
    const found = Object.fromEntries(Object.keys(expected).map((name) => [name, env[name]]));
    assert.deepEqual(found, expected);
    const auth = JSON.parse(env[`ENDPOINT_AUTH_${id}`] ?? '') as Record<string, unknown>;
    assert.deepEqual(auth, { parameters: BRIDGE.authParameters, scheme: 'Certificate' });
    assert.equal(env['SYSTEM_DEFAULTWORKINGDIRECTORY'], env['BUILD_SOURCESDIRECTORY']);
    assert.ok((JSON.parse(env['VSTS_SECRET_VARIABLES'] ?? '') as string[]).includes('token'));
    assert.ok((JSON.parse(env['VSTS_PUBLIC_VARIABLES'] ?? '') as string[]).includes('plain'));
  });

  it('checks out the commit that the run was queued at, and wipes the folder between jobs', async () => {
    world.commit('file.txt', 'pushed since\n');
    const look =
      "const fs = require('fs'); say(fs.readFileSync('file.txt', 'utf8').trim() + ' ' + fs.existsSync('left') + ' ' + fs.readdirSync(process.env.AGENT_TEMPDIRECTORY).length); fs.writeFileSync('left', ''); fs.writeFileSync(process.env.AGENT_TEMPDIRECTORY + '/left', '')";
    const jobs = ['A', 'B'].map(
      (name) => `- job: ${name}\n  steps:\n  - task: Play@1\n    inputs: { code: ${JSON.stringify(look)} }\n`,
    );
    const { lines, result } = await world.run(`jobs:\n${jobs.join('')}`);
    assert.equal(result.outcome, 'succeeded');
    assert.deepEqual(
      lines.filter((line) => line.startsWith('as queued')),
      ['as queued false 0', 'as queued false 0'],
    );
  });

  it('fails the step when the commit is not in the repository', async () => {
    const { result, lines } = await world.run('steps:\n- script: echo\n', {
      checkout: { repository: world.repository, commit: 'f'.repeat(40) },
    });
    assert.equal(result.outcome, 'failed');
    assert.ok(lines.some((line) => line.includes('NC9107')));
  });

  it('masks secrets: whole, in lines, in chunks, in issues, and those that a task makes', async () => {
    const write = 'const w = (t) => require("fs").writeSync(1, t);';
    const { events, lines } = await run(
      [
        [`${write} w('a tok-'); setTimeout(() => w('secret b\\n'), 50)`],
        [
          "say('key: line two of key.'); say(JSON.stringify('tok-secret')); console.error('##vso[task.logissue type=error]tok-secret')",
        ],
        [
          "set('token', 'made-here', 'issecret=true'); set('outX', 'made-out', 'isoutput=true;issecret=true')",
        ],
        ["say('$(token) $(S2.outX) ' + process.env.SECRET_TOKEN + ' ' + process.env.TOKEN)"],
        [
          "set('plain', 'seen', 'issecret = true'); say('##vso[task.setsecret]set-secret'); say('x set-secret')",
        ],
      ],
      { secrets: { a: 'tok-secret' } },
    );
    const all = JSON.stringify(events);
    for (const secret of [
      'tok-secret',
      'line two of key',
      'bridge-pass',
      'made-here',
      'made-out',
      'set-secret',
    ]) {
      assert.ok(!all.includes(secret), `${secret} can be read`);
    }
    assert.ok(lines.includes('a *** b'));
    assert.ok(lines.includes('*** *** *** undefined'));
    // `issecret ` with a space is another property: the value is not secret.
    assert.ok(events.some((event) => event.type === 'variable' && event.value === 'seen' && !event.isSecret));
  });

  it('takes commands in mid-line, from both streams: output of a child can set variables', async () => {
    const { events, lines } = await run([
      [
        "say('log of rke ##vso[task.setvariable variable=plain]injected'); console.error('x ##vso[task.logissue type=warning]from stderr')",
      ],
      [
        "say('plain is $(plain)'); say('##VSO[task.setvariable variable=plain]no'); say('##vso[task.setvariable variable=plain')",
      ],
    ]);
    assert.ok(lines.includes('plain is injected'));
    assert.ok(lines.includes('##VSO[task.setvariable variable=plain]no'));
    assert.ok(lines.includes('##vso[task.setvariable variable=plain'));
    const issue = events.find((event) => event.type === 'issue');
    assert.equal(issue?.type === 'issue' ? issue.message : '', 'from stderr');
  });

  it('lets a task set only the variables that its task.json lists', async () => {
    const { events, lines } = await run([
      ["set('other', 'x', ''); set('Build.BuildId', 'x', ''); set('outA', 'y', '')"],
      ["say('[$(other)] [$(outA)] [$(Build.BuildId)]')"],
    ]);
    assert.ok(lines.includes('[$(other)] [y] [42]'));
    const issues = events.flatMap((event) => (event.type === 'issue' ? event.message : []));
    assert.match(issues.join('\n'), /'other' is not in the list of settable variables/);
  });

  it('merges results to the worst, and takes a bad exit code as a failure', async () => {
    const { result, events } = await run([
      [
        "say('##vso[task.complete result=SucceededWithIssues]'); say('##vso[task.complete result=Succeeded]')",
      ],
      ["say('##vso[task.complete result=Failed]no'); say('##vso[task.complete result=Succeeded]')"],
      ['process.exit(3)', 'condition: failed()'],
      ['', 'condition: succeeded()'],
      ["process.kill(process.pid, 'SIGKILL')", 'condition: always()'],
    ]);
    assert.deepEqual(
      result.stages[0]?.jobs[0]?.steps.slice(1).map((step) => step.result),
      ['succeededWithIssues', 'failed', 'failed', 'skipped', 'failed'],
    );
    const issues = events.flatMap((event) => (event.type === 'issue' ? event.message : []));
    assert.deepEqual(issues, [
      'The process ended with exit code 3.',
      'The process ended with exit code 137.',
    ]);
  });

  it('keeps ten issues of a kind, and warns of unknown commands', async () => {
    const { events } = await run([
      ["for (let i = 0; i < 15; i++) say('##vso[task.logissue type=error]e' + i); say('##vso[task.nope]')"],
    ]);
    const issues = events.flatMap((event) => (event.type === 'issue' ? event : []));
    assert.equal(issues.filter((issue) => issue.severity === 'error').length, 10);
    assert.deepEqual(
      issues.filter((issue) => issue.severity === 'warning').map((issue) => issue.message),
      ['The logging command ##vso[task.nope] is not known.'],
    );
  });

  it('hands on attachments, summaries and progress', async () => {
    const { events } = await run([
      [
        "const f = process.env.AGENT_TEMPDIRECTORY + '/r.json'; require('fs').writeFileSync(f, '{}'); say('##vso[task.addattachment type=node-cycle;name=record]' + f); say('##vso[task.uploadsummary]' + f); say('##vso[task.setprogress value=40;]drain')",
      ],
    ]);
    const attachment = events.find((event) => event.type === 'attachment');
    assert.deepEqual(
      attachment?.type === 'attachment' && [attachment.kind, attachment.name, attachment.content.toString()],
      ['node-cycle', 'record', '{}'],
    );
    assert.ok(events.some((event) => event.type === 'summary' && event.text === '{}'));
    assert.ok(events.some((event) => event.type === 'progress' && event.percent === 40));
  });

  it('tries again with growing waits, and keeps task variables', async () => {
    const count = join(world.root, 'count');
    writeFileSync(count, '');
    const code = `const fs = require('fs'); const n = fs.readFileSync(${JSON.stringify(count)}, 'utf8').length; fs.appendFileSync(${JSON.stringify(count)}, 'x'); say('attempt ' + n + ' ' + process.env.VSTS_TASKVARIABLE_SEEN); say('##vso[task.settaskvariable variable=seen]' + n); process.exit(n < 2 ? 1 : 0)`;
    const spawned: number[] = [];
    const startedMs = Date.now();
    const { result, lines } = await run([[code, 'retryCountOnTaskFailure: 3']], {
      minuteMs: 3_000,
      onTaskSpawn: ({ attempt, task }) => {
        if (task === 'Play') spawned.push(attempt);
      },
    });
    assert.equal(result.outcome, 'succeeded');
    assert.deepEqual(spawned, [1, 2, 3]);
    assert.deepEqual(
      lines.filter((line) => line.startsWith('attempt')),
      ['attempt 0 undefined', 'attempt 1 0', 'attempt 2 1'],
    );
    assert.equal(result.stages[0]?.jobs[0]?.steps[1]?.attempts, 3);
    assert.ok(Date.now() - startedMs >= 250, 'waits of 1 and 4 seconds, of a minute of 3 s');
  });

  it("ends a step at its own limit, over all attempts, and then doesn't try again", async () => {
    const { result } = await run([
      ['setTimeout(() => 0, 60000)', 'timeoutInMinutes: 1\nretryCountOnTaskFailure: 3'],
    ]);
    const step = result.stages[0]?.jobs[0]?.steps[1];
    assert.deepEqual([step?.result, step?.attempts], ['failed', 1]);
  });

  it('climbs SIGINT, SIGTERM, kill; runs only what always runs; and leaves children of the task alone', async () => {
    const pidFile = join(world.root, 'child.pid');
    const ladder = { interruptMs: 250, terminateMs: 150 };
    const stubborn = `
      const child = require('child_process').spawn(process.execPath, ['-e', 'setTimeout(() => 0, 20000)'], { detached: true, stdio: 'ignore' });
      require('fs').writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));
      const start = Date.now();
      for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => say(s));
      say('ready'); setInterval(() => 0, 1000)`;
    const person = new AbortController();
    let pid = 0;
    const endings: number[] = [];
    const { result, lines } = await run(
      [
        [stubborn],
        ['say("never")'],
        ['say("cleaned up")', 'condition: always()'],
        ['', "condition: ne(variables['x'], 'Failed')"],
      ],
      {
        cancelLadder: ladder,
        signal: person.signal,
        onTaskSpawn: (info) => {
          pid ||= info.pid;
        },
        onEvent: (event) => {
          if (event.type === 'log' && event.line === 'ready') {
            endings.push(Date.now());
            person.abort();
          }
          if (event.type === 'step' && event.state === 'ended' && event.step === 'S0')
            endings.push(Date.now());
          seen.push(event.type === 'log' ? event.line : '');
        },
      },
    );
    assert.deepEqual(lines, [], 'this test listens itself');
    assert.deepEqual(
      seen.filter((line) => /^SIG|never|cleaned/.test(line)),
      ['SIGINT', 'SIGTERM', 'cleaned up'],
    );
    const [asked = 0, ended = 0] = endings;
    assert.ok(ended - asked >= 390, `killed after ${ended - asked} ms`);
    assert.throws(() => process.kill(pid, 0), 'the task itself is gone');
    const child = Number(readFileSync(pidFile, 'utf8'));
    process.kill(child, 0);
    process.kill(child, 'SIGKILL');
    assert.deepEqual(
      result.stages[0]?.jobs[0]?.steps.slice(1).map((step) => step.result),
      // A condition without a status function runs after a cancel, too.
      ['canceled', 'skipped', 'succeeded', 'succeeded'],
    );
    assert.equal(result.outcome, 'canceled');
  });
  const seen: string[] = [];

  it('leaves the work folder to the last job only', async () => {
    await world.run(
      'steps:\n- checkout: self\n  fetchDepth: 1\n- bash: echo $(Build.SourcesDirectory) > where\n',
      {
        workRoot: join(world.root, 'agent'),
      },
    );
    assert.ok(existsSync(join(world.root, 'agent/1/s/where')));
  });
});
