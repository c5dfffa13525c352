/** Lint rules: typescript-eslint's strict set with types, and the design's own two rules (scripts/lint-rules.mjs). */
import tseslint from 'typescript-eslint';
import { designRules } from './scripts/lint-rules.mjs';

/** Edges of the bridge and of the tasks that hold a socket, a file or a process themselves. */
const ADAPTERS = [
  'agent-bridge/server/listen.ts',
  'agent-bridge/service/clock.ts',
  'agent-bridge/service/disk.ts',
  'agent-bridge/service/processes.ts',
];

export default tseslint.config(
  {
    ignores: ['dist/', 'node_modules/', 'test/corpus/', 'test/repository/fixtures/', 'lab/example/', '.lab/'],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'warn' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { design: designRules },
    rules: {
      'design/arrows': 'error',
      'design/wire': ['error', { adapters: ADAPTERS }],
      eqeqeq: 'error',
      'no-console': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // A port is a function of a promise; an adapter that has nothing to await still is one.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidOperator: true, ignoreVoidReturningFunctions: true },
      ],
      // Ports are records of functions that know no `this`.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-dynamic-delete': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true }],
      // zod and the Kubernetes types mark what still works on the versions that are in use.
      '@typescript-eslint/no-deprecated': 'off',
      '@typescript-eslint/unified-signatures': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/prefer-promise-reject-errors': [
        'error',
        { allowThrowingUnknown: true, allowThrowingAny: false },
      ],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      // mocha's `it` and node:assert are called for their effect, and a test reaches into data it knows.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    rules: { eqeqeq: 'error', 'no-undef': 'off', 'prefer-const': 'error' },
  },
);
