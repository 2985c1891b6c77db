import { activeTracing } from '@agentx/service-kit';
import type { Span } from '@agentx/service-kit';
import { genAi, operation, stopReasonName } from './gen-ai.ts';
import type { EngineMetrics } from './metrics.ts';
import { usageAttributes } from './observe-driver.ts';
import type { BegunTurn, EngineObserver, ObservedTurn } from './observer.ts';

/** Why a turn's span failed that was left to others. */
const LEFT = 'TURN_LEFT';

/** Counts turns, and traces each as a part of the request that began it; a turn that is taken over begins anew. */
export function observeEngine(metrics: EngineMetrics): EngineObserver {
  return {
    begin: (turn) => {
      metrics.turnsBegun(turn.takenOver ? 'taken_over' : 'received');
      return observeTurn(metrics, startSpan(turn));
    },
  };
}

function startSpan({ tenantId, agentId, turnId, takenOver }: BegunTurn): Span | undefined {
  return activeTracing()?.startSpan(operation.turn, {
    attributes: {
      [genAi.operation]: operation.turn,
      [genAi.agentId]: agentId,
      [genAi.conversationId]: agentId,
      'agentx.tenant.id': tenantId,
      'agentx.turn.id': turnId,
      'agentx.turn.taken_over': takenOver,
    },
  });
}

function observeTurn(metrics: EngineMetrics, span: Span | undefined): ObservedTurn {
  return {
    run: (work) => (span === undefined ? work() : span.run(work)),
    attached: () => {
      if (span !== undefined) activeTracing()?.linkActive(span);
    },
    batchWritten: metrics.batchWritten,
    renewal: async (renew) => {
      try {
        const answer = await renew();
        metrics.leaseRenewed('ok');
        return answer;
      } catch (error) {
        metrics.leaseRenewed('failed');
        throw error;
      }
    },
    leaseLost: metrics.leaseLost,
    ended: (stats, failure) => {
      if (stats !== undefined) metrics.turnEnded(stats);
      if (stats !== undefined)
        span?.set({
          ...usageAttributes(stats.usage),
          'agentx.turn.stop_reason': stopReasonName(stats.stopReason),
          'agentx.turn.tool_calls': stats.toolCalls,
          'agentx.turn.cost_micro_usd':
            stats.costMicroUsd === undefined ? undefined : Number(stats.costMicroUsd),
        });
      span?.end(failure);
    },
    left: () => {
      metrics.turnLeft();
      span?.end(LEFT);
    },
  };
}
