export { createLogger } from './create-logger.ts';
export type { Logger, LoggerOptions, LogLevel } from './create-logger.ts';
export { redactText, registerSecret } from './redact.ts';
export { serializeError } from './serialize-error.ts';
export type { SerializedError } from './serialize-error.ts';
