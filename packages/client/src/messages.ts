/** The messages and services of the contract, with their schemas. */
export * from '@agentx/gen/agentx/common/v1/event_pb.ts';
export * from '@agentx/gen/agentx/common/v1/message_pb.ts';
export * from '@agentx/gen/agentx/common/v1/turn_pb.ts';
export * from '@agentx/gen/agentx/common/v1/usage_pb.ts';
export * from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
