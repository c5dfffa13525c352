/**
 * The dot reporter, which also names skipped tests and writes what was counted to the file that
 * NODE_CYCLE_TEST_COUNTS names, for .ci/run.
 */
const { mkdirSync, writeFileSync } = require('node:fs');
const { dirname, relative } = require('node:path');
const { reporters, Runner } = require('mocha');

const {
  EVENT_HOOK_END,
  EVENT_TEST_END,
  EVENT_TEST_FAIL,
  EVENT_TEST_PASS,
  EVENT_TEST_PENDING,
  EVENT_RUN_END,
} = Runner.constants;

class DotAndCounts extends reporters.Dot {
  constructor(runner, options) {
    super(runner, options);
    const counts = { passed: 0, failed: 0, skipped: [], slowest: [], secondsOfFiles: {} };
    const files = new Map();
    // With its hooks: many suites start servers in one.
    const spent = ({ file = '', duration = 0 }) => files.set(file, (files.get(file) ?? 0) + duration);
    runner.on(EVENT_TEST_END, spent);
    runner.on(EVENT_HOOK_END, spent);
    runner.on(EVENT_TEST_PASS, (test) => {
      counts.passed++;
      counts.slowest.push({ title: test.fullTitle(), ms: test.duration ?? 0 });
    });
    runner.on(EVENT_TEST_FAIL, () => counts.failed++);
    runner.on(EVENT_TEST_PENDING, (test) => counts.skipped.push(test.fullTitle()));
    runner.once(EVENT_RUN_END, () => {
      if (counts.skipped.length > 0) console.log(`  skipped:\n    ${counts.skipped.join('\n    ')}\n`);
      counts.slowest = counts.slowest.sort((a, b) => b.ms - a.ms).slice(0, 10);
      for (const [file, ms] of [...files].sort(([, a], [, b]) => b - a).slice(0, 60))
        counts.secondsOfFiles[relative(process.cwd(), file)] = Math.round(ms / 1000);
      const file = process.env.NODE_CYCLE_TEST_COUNTS;
      if (!file) return;
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, JSON.stringify(counts, undefined, 2));
    });
  }
}

module.exports = DotAndCounts;
