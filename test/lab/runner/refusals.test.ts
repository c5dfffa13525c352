import assert from 'node:assert/strict';
import { createWorld, stageOf, type World } from './stage-world.ts';

const JOB = `
  jobs:
  - job: J
    steps:
    - script: echo`;
const job = (lines: string): string =>
  `jobs:\n- job: J\n${lines.replace(/^/gm, '  ')}\n  steps:\n  - script: echo\n`;
const step = (lines: string): string => `steps:\n${lines}\n`;
const play = (inputs: string): string => step(`- task: Play@1\n  inputs:\n${inputs.replace(/^/gm, '    ')}`);

/** What is written, what the message must say, and the place that it must name. */
const CASES: Record<string, [yaml: string, place: string, message: RegExp]> = {
  'an unknown key at the top': ['nmae: x\nsteps: []\n', '1:1', /unknown key 'nmae' of the pipeline/],
  'an unknown key of a stage': [
    `stages:\n- stage: A\n  templateContext: {}${JOB}`,
    '3:3',
    /'templateContext' of a stage/,
  ],
  'an unknown key of a job': [job('container: x'), '3:3', /unknown key 'container' of a job/],
  'an unknown key of a step': [step('- script: echo\n  target: x'), '3:3', /unknown key 'target'/],
  'a duplicate key': ['name: a\nname: b\nsteps: []\n', '2:1', /duplicate key 'name', first in line 1/],
  'keys that are the same after expansion': [
    step('- script: echo\n  env:\n    A: x\n    ${{ if true }}:\n      a: y'),
    '6:7',
    /duplicate key 'a' after expansion/,
  ],
  'an anchor': [`steps:\n- &a\n  script: echo\n`, '3:3', /anchor &a/],
  'an alias': ['steps:\n- script: &a echo\n- script: *a\n', '2:14', /YAML anchors/],
  'a merge key': ['steps:\n- <<: {script: echo}\n', '2:3', /merge key/],
  'a tag': ['steps:\n- script: !x echo\n', '2:11', /Unresolved tag: !x/],
  'a second document': ['steps:\n- script: a\n---\nsteps: []\n', '3:1', /second YAML document/],
  'broken YAML': ['steps:\n- script: "a\n', '3:1', /not valid YAML/],
  'a step whose first key is not its type': [
    step('- name: x\n  script: echo'),
    '2:3',
    /begins with its type/,
  ],
  'a step that is only text': [step('- echo'), '2:3', /begins with its type/],
  'stages together with jobs': [`stages:\n- stage: A${JOB}\njobs: []\n`, '7:1', /found stages and jobs/],
  'an input that is a mapping': [play('code: { a: b }'), '4:11', /expected a text for 'code'/],
  'steps right under a deployment job': [
    'jobs:\n- deployment: D\n  environment: e\n  steps: []\n',
    '4:3',
    /unknown key 'steps' of a deployment job/,
  ],
  'a matrix of a deployment job': [
    'jobs:\n- deployment: D\n  environment: e\n  strategy:\n    matrix: {}\n',
    '5:5',
    /unknown key 'matrix'/,
  ],
  'a boolean of yes': [step('- script: echo\n  continueOnError: yes'), '3:20', /expected true or false/],
  'a boolean parameter of yes': [
    'parameters:\n- { name: x, type: boolean, default: yes }\nsteps: []\n',
    '2:38',
    /expects true or false, found 'yes'/,
  ],
  'an expression under schedules': [
    "schedules:\n- cron: '${{ parameters.c }}'\nsteps: []\n",
    '2:9',
    /not allowed under schedules/,
  ],
  'parameters in the condition of a step': [
    step("- script: echo\n  condition: eq(parameters.x, 'a')"),
    '3:14',
    /'parameters' in a step condition/,
  ],
  'stageDependencies in the condition of a stage': [
    `stages:\n- stage: A${JOB}\n- stage: B\n  condition: eq(stageDependencies.A.J.result, 'x')${JOB}`,
    '8:14',
    /'stageDependencies' in a stage condition/,
  ],
  'succeeded() at compile time': [
    step('- ${{ if succeeded() }}:\n  - script: echo'),
    '2:3',
    /function succeeded\(\) is not known/,
  ],
  'an operator': [step('- ${{ if 1 == 1 }}:\n  - script: echo'), '2:3', /operator '=='/],
  'a missing dependency': [`stages:\n- stage: A\n  dependsOn: Z${JOB}`, '2:3', /'Z', which does not exist/],
  'cyclic dependencies': [
    `stages:\n- stage: A\n  dependsOn: B${JOB}\n- stage: B\n  dependsOn: A${JOB}`,
    '2:3',
    /A → B → A depend on each other/,
  ],
  'names that differ only in case': [
    `stages:\n- stage: A${JOB}\n- stage: a${JOB}`,
    '7:3',
    /'a' stands twice/,
  ],
  'a trigger': ['trigger:\n- main\nsteps: []\n', '2:1', /'trigger' other than none/],
  resources: ['resources: {}\nsteps: []\n', '1:1', /unknown key 'resources'/],
  'a variable group': ['variables:\n- group: g\nsteps: []\n', '2:3', /unknown key 'group' of a variable/],
  'a template of another repository': [step('- template: x.yml@other'), '2:13', /another repository/],
  'a missing template': [step('- template: x.yml'), '2:13', /'x\.yml' does not exist/],
  'a parameter that nobody declared': [
    step('- script: ${{ parameters.nope }}'),
    '2:11',
    /no parameter 'nope'/,
  ],
  'else without if': [step('- ${{ else }}:\n  - script: echo'), '2:3', /without an 'if'/],
  'a text as a condition': [
    "parameters:\n- { name: x, default: 'false' }\nsteps:\n- ${{ if parameters.x }}:\n  - script: echo\n",
    '4:3',
    /the text 'false' as a condition would be true/,
  ],
  'a macro in a condition': [step('- script: echo\n  condition: eq($(x), 1)'), '3:14', /macro/],
  'an environment that is not known in advance': [
    'jobs:\n- deployment: D\n  environment: $(x)\n  strategy: {}\n',
    '3:16',
    /known before the run|strategy/,
  ],
  'a runtime expression inside of a text': [
    'variables:\n  a: x-$[ variables.b ]\nsteps: []\n',
    '2:6',
    /must be the whole value/,
  ],
  'a condition on a stage that is not a dependency': [
    `stages:\n- stage: A${JOB}\n- stage: B${JOB}\n- stage: C\n  condition: eq(dependencies.A.result, 'x')${JOB}`,
    '13:14',
    /'A' is not among what the stage 'C' depends on/,
  ],
  'a condition on an output of a step without a name': [
    `stages:\n- stage: A${JOB}\n- stage: B\n  condition: eq(dependencies.A.outputs['J.s.x'], '1')${JOB}`,
    '8:14',
    /has no step with name: s/,
  ],
  'a stage condition on an output of a deployment job': [
    'stages:\n- stage: A\n  jobs:\n  - deployment: D\n    environment: e\n    strategy: { runOnce: { deploy: ' +
      `{ steps: [{ script: echo, name: s }] } } }\n- stage: B\n  condition: eq(dependencies.A.outputs['D.D.s.x'], '1')${JOB}`,
    '8:14',
    /re-export it from a job/,
  ],
  'succeeded of a job that is not before': [
    `stages:\n- stage: A\n  jobs:\n  - job: X\n    condition: succeeded('Y')\n    steps: [{ script: echo }]`,
    '5:16',
    /not among what comes before/,
  ],
  'an unknown task': [step('- task: Nope@1'), '2:3', /NC9105.*'Nope' has no readable task\.json/],
  'another major version': [step('- task: Play@2'), '2:3', /Play@2 is wanted, the task\.json has version 1/],
  'an unknown input': [play('cod: x'), '4:5', /unknown input 'cod' of Play; known: code, mode/],
  'a value outside of the list': [play('mode: loud'), '4:5', /expected one of calm, wild .* found 'loud'/],
  'an input that must be a boolean': [play("flag: 'yes'"), '4:5', /expected true or false/],
  'a required input that is visible and empty': [play('mode: wild'), '2:3', /'wildness' of Play is required/],
  'an unknown service connection': [play('bridge: none'), '4:5', /no service connection 'none'/],
  'a task in an agentless job': ['pool: server\nsteps:\n- task: Play@1\n', '3:3', /ManualValidation@1 only/],
  'ManualValidation on an agent': [step('- task: ManualValidation@1'), '2:3', /'pool: server' only/],
  'a job without steps': ['jobs:\n- job: J\n', '2:3', /a job without steps/],
  'too many attempts': [step('- script: a\n  retryCountOnTaskFailure: 11'), '3:28', /from 0 to 10/],
};

describe('the runner refuses, and names the place', () => {
  let world: World;
  before(() => {
    world = createWorld();
  });
  after(() => world.end());

  for (const [what, [yaml, place, message]] of Object.entries(CASES)) {
    it(what, async () => {
      const started: string[] = [];
      const run = world.run(yaml, { onEvent: (event) => started.push(event.type) });
      await assert.rejects(run, (error: Error) => {
        assert.match(error.message, message);
        assert.match(error.message, new RegExp(`pipeline\\.yml:${place}: `));
        return true;
      });
      assert.deepEqual(started, [], 'nothing may have run');
    });
  }

  it('stages that a person may not skip by hand', async () => {
    const yaml = `stages:${stageOf('A', '', 'isSkippable: false')}`;
    await assert.rejects(world.run(yaml, { skipStages: ['A'] }), /NC9109.*isSkippable: false/);
    await assert.rejects(world.run(yaml, { skipStages: ['B'] }), /NC9109.*no such stage/);
  });

  it('a work folder that it did not make', async () => {
    const { repository } = world;
    await assert.rejects(world.run(`stages:${stageOf('A', '')}`, { workRoot: repository }), /NC9106/);
  });
});
