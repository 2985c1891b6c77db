export { createAgentxClient } from './agentx-client.ts';
export type { AgentxClient, AgentxClientOptions } from './agentx-client.ts';
export { errorInfoOf } from './errors.ts';
export { createGrpcTransport } from './grpc-transport.ts';
export type { CallOutcome, GrpcTransport, GrpcTransportOptions } from './grpc-transport.ts';
export type { HeadersInit, Token } from './headers.ts';
export * from './messages.ts';
export { receive } from './receive.ts';
export type { ReceiveOptions } from './receive.ts';
