import { existsSync } from 'node:fs';

const directories = (names) => names.filter((name) => existsSync(new URL(name, import.meta.url)));

/** Tests beside the code that start real parts: databases, sandboxes, processes. */
const WITH_PARTS = [
  'packages/testing/src/(database|infra|processes)/',
  'packages/service-kit/src/database/',
  'services/[a-z-]+/src/store/',
  'services/engine/src/tools/',
  'services/engine/src/engine[a-z-]*\\.test\\.ts$',
  'scripts/infra/',
];

const endingInTest = (pattern) => (pattern.endsWith('$') ? pattern : `${pattern}.*\\.test\\.ts$`);

const project = (displayName, roots, selection = {}) => ({
  displayName,
  roots: roots.map((name) => `<rootDir>/${name}`),
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript' },
          experimental: { keepImportAttributes: true },
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  // MikroORM's connections wait on process.nextTick and would hang under fake timers otherwise.
  fakeTimers: { doNotFake: ['nextTick'] },
  restoreMocks: true,
  ...selection,
});

const besideTheCode = directories(['packages', 'services', 'desktop', 'scripts']);

/**
 * `fast`: tests beside the code that need nothing but Node. `parts`: those that start real parts. `suites`: everything in
 * tests/, from the outside.
 */
export default {
  testTimeout: 30_000,
  projects: [
    project('fast', besideTheCode, {
      testMatch: ['**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', ...WITH_PARTS],
    }),
    project('parts', besideTheCode, { testRegex: WITH_PARTS.map(endingInTest) }),
    project('suites', directories(['tests']), { testMatch: ['**/*.test.ts'] }),
  ],
};
