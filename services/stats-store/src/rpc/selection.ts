import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { TurnFilter } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { TurnSelection } from '../store/store.ts';

/** Empty fields select everything. */
export function toSelection(filter: TurnFilter | undefined): TurnSelection {
  return {
    agentId: filter?.agentId === '' ? undefined : filter?.agentId,
    turnId: filter?.turnId === '' ? undefined : filter?.turnId,
    model: filter?.model === '' ? undefined : filter?.model,
    fromMs: filter?.startTime && timestampMs(filter.startTime),
    beforeMs: filter?.endTime && timestampMs(filter.endTime),
  };
}
