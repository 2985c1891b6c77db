import { ConfigError } from '../env/config-error.ts';
import { isError } from '../logging/is-error.ts';

/** A reason not to start that a person can mend: shown in one line, without a stack. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

function stringOf(error: unknown, key: string): string | undefined {
  const value: unknown = isError(error) ? Reflect.get(error, key) : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function systemText(error: unknown): string | undefined {
  const where = [stringOf(error, 'address'), isError(error) ? Reflect.get(error, 'port') : undefined]
    .filter((part) => part !== undefined)
    .join(':');
  if (stringOf(error, 'syscall') !== 'listen') return undefined;
  switch (stringOf(error, 'code')) {
    case 'EADDRINUSE':
      return `${where} is in use. Is another one running? AGENTX_LISTEN and AGENTX_OPS_LISTEN choose other addresses.`;
    case 'EADDRNOTAVAIL':
      return `${where} is not an address of this machine. AGENTX_LISTEN and AGENTX_OPS_LISTEN choose others.`;
    case 'EACCES':
      return `${where} may not be listened on: ports below 1024 need rights. AGENTX_LISTEN chooses another.`;
    default:
      return undefined;
  }
}

function causes(error: Error): string {
  const parts: string[] = [];
  for (let cause = error.cause; isError(cause) && parts.length < 8; cause = cause.cause) {
    if (cause.message !== '') parts.push(cause.message);
  }
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
}

/** How a program says why it did not start. */
export interface StartFailure {
  /** 2 for a wrong environment, else 1. */
  readonly exitCode: 1 | 2;
  /** What is shown. Undefined: the error is not an expected one and is logged with its stack. */
  readonly text: string | undefined;
}

/** Tells expected failures of starting from unexpected ones. Errors with a machine reason are expected. */
export function describeStartFailure(program: string, error: unknown): StartFailure {
  if (error instanceof ConfigError) return { exitCode: 2, text: error.message };
  const system = systemText(error);
  if (system !== undefined) return { exitCode: 1, text: `${program} cannot start: ${system}` };
  if (error instanceof StartError || (isError(error) && stringOf(error, 'reason') !== undefined)) {
    return { exitCode: 1, text: `${program} cannot start: ${error.message}${causes(error)}` };
  }
  return { exitCode: 1, text: undefined };
}
