import process from 'node:process';

/** The Node that runs this process. */
export const node = process.execPath;

/** This process's environment without anything that AgentX would read, and then `env`. */
export function agentxEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(?:AGENTX|ANTHROPIC|OTEL|NODE)_/.test(name));
  return { ...Object.fromEntries(own), ...env };
}
