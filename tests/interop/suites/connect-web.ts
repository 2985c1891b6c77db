import { describe, expect, test } from '@jest/globals';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { ReceiveResponse } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import { newAgent, observe, text, turnEnd } from './agents.ts';

const transports = {
  'Connect, JSON': (baseUrl: string) => createConnectTransport({ baseUrl }),
  'Connect, binary, with GET': (baseUrl: string) =>
    createConnectTransport({ baseUrl, useBinaryFormat: true, useHttpGet: true }),
  'gRPC-Web': (baseUrl: string) => createGrpcWebTransport({ baseUrl }),
};

/** What a browser's client does, with fetch. */
export function connectWebSuite(target: () => string): void {
  describe.each(Object.entries(transports))('connect-web, %s', (_name, createTransport) => {
    const client = () => createClient(EngineService, createTransport(`http://${target()}`));

    test('gets events while the turn still runs, to its end', async () => {
      const agentId = newAgent();
      const cases: (string | undefined)[] = [];
      const input = text('!stream 10 200');
      for await (const { event } of client().receive({ agentId, input })) {
        if (cases.length === 0) {
          const { turn } = await observe(target()).getTurn({ agentId, turnId: event!.turnId });
          expect(turn?.status).toBe(TurnStatus.RUNNING);
        }
        cases.push(event?.payload.case);
      }
      expect(cases[0]).toBe('turnAccepted');
      expect(cases.filter((name) => name === 'textDelta').length).toBeGreaterThan(1);
      expect(cases.at(-1)).toBe('turnEnded');
      expect((await client().listMessages({ agentId })).messages).toHaveLength(2);
    });

    test('is told the reason of an error', async () => {
      const failed = client().getTurn({ agentId: newAgent(), turnId: 't1' });
      const error = await failed.then(() => undefined, ConnectError.from);
      expect(error?.code).toBe(Code.NotFound);
      expect(error?.findDetails(ErrorInfoSchema)[0]).toMatchObject({ domain: 'agentx' });
    });

    test('leaves a stream, and the turn goes on', async () => {
      const agentId = newAgent();
      const leave = new AbortController();
      const input = text('!stream 5 200');
      const seen: ReceiveResponse[] = [];
      const read = async () => {
        for await (const answer of client().receive({ agentId, input }, { signal: leave.signal })) {
          seen.push(answer);
          leave.abort();
        }
      };
      await expect(read()).rejects.toMatchObject({ code: Code.Canceled });
      const turn = await turnEnd(target(), agentId, seen[0]?.event?.turnId ?? '');
      expect(turn.stopReason).toBe(StopReason.END_TURN);
    });
  });
}
