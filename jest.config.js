import { existsSync } from 'node:fs';

const directories = (names) => names.filter((name) => existsSync(new URL(name, import.meta.url)));

const project = (displayName, roots) => ({
  displayName,
  roots: roots.map((name) => `<rootDir>/${name}`),
  testMatch: ['**/*.test.ts'],
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
});

/** `fast`: unit tests beside the code. `suites`: everything in tests/, which may start processes. */
export default {
  testTimeout: 30_000,
  projects: [
    project('fast', directories(['packages', 'services', 'desktop', 'scripts'])),
    project('suites', directories(['tests'])),
  ],
};
