/** For browsers: nothing from here reaches for Node. */
export { createAgentxWebClient } from './agentx-web-client.ts';
export type { AgentxWebClient, AgentxWebClientOptions } from './agentx-web-client.ts';
export { errorInfoOf } from './errors.ts';
export type { HeadersInit, Token } from './headers.ts';
export * from './messages.ts';
export { receive } from './receive.ts';
export type { ReceiveOptions } from './receive.ts';
