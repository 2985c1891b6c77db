export type { DeferOptions } from './clean-ups.ts';
export { runProgram } from './run-program.ts';
export type { Lifecycle, ProcessLike } from './run-program.ts';
export { StartError } from './start-error.ts';
