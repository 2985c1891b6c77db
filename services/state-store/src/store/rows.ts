/** Translation between the contract's messages and the rows of the tables. */
import { create, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { InferEntity } from '@mikro-orm/core';
import { AgentConfigSchema, AgentStateSchema } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import type { AgentState } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { AgentRecordSchema } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { AgentRecord } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { AgentRecordEntity, AgentStateEntity } from './entities.ts';

/** The part of a record that its owner decides. */
export function toColumns({ displayName, config, labels }: AgentRecord) {
  return {
    displayName,
    config: config === undefined ? null : toJsonString(AgentConfigSchema, config),
    labels: JSON.stringify(labels),
  };
}

export function toRecord(row: InferEntity<typeof AgentRecordEntity>): AgentRecord {
  return create(AgentRecordSchema, {
    agentId: row.agentId,
    displayName: row.displayName,
    // A newer server may have written fields that this one does not know.
    ...(row.config && {
      config: fromJsonString(AgentConfigSchema, row.config, { ignoreUnknownFields: true }),
    }),
    labels: JSON.parse(row.labels) as Record<string, string>,
    revision: row.revision,
    createTime: timestampFromMs(row.createTimeMs),
    updateTime: timestampFromMs(row.updateTimeMs),
  });
}

export function toState(row: InferEntity<typeof AgentStateEntity>): AgentState {
  return create(AgentStateSchema, {
    agentId: row.agentId,
    status: row.status,
    turnId: row.turnId,
    epoch: row.epoch,
    seq: row.seq,
    updateTime: timestampFromMs(row.updateTimeMs),
  });
}
