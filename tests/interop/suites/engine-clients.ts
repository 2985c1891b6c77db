import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { call, errorInfoOf, startCall } from '../harness/client-program.ts';
import type { CallOptions, ClientProgram, Method } from '../harness/client-program.ts';
import { counted, eventsOf, newAgent, text, textOf, turnEnd } from './agents.ts';

/** A silence long enough for the client to ping in it; grpc-go never pings more often than every 10 s. */
const silences = {
  grpcio: { silenceMs: 3000, keepaliveMs: 300 },
  'grpc-go': { silenceMs: 11_000, keepaliveMs: 10_000 },
};

const { receive, subscribe, listMessages } = EngineService.method;

/** What a generated client of any language must be able to do with an engine. */
export function engineClientSuite(
  name: keyof typeof silences,
  program: () => ClientProgram,
  target: () => string,
): void {
  const send = <I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ) => call(program(), target(), method, request, options);

  describe(`${name}, with generated stubs`, () => {
    test('receives a turn from its acceptance to its end, and reads it back page by page', async () => {
      const agentId = newAgent();
      const { messages, status } = await send(receive, { agentId, input: text('hello') });
      const events = eventsOf(messages);
      expect(status.code).toBe('OK');
      expect(events[0]?.payload.case).toBe('turnAccepted');
      expect(events.at(-1)?.payload).toMatchObject({
        case: 'turnEnded',
        value: { stopReason: StopReason.END_TURN },
      });
      expect(textOf(events)).toContain('You said: hello');

      const { messages: firstPage } = await send(listMessages, { agentId, pageSize: 1 });
      const pageToken = firstPage[0]?.nextPageToken ?? '';
      const { messages: lastPage } = await send(listMessages, { agentId, pageSize: 1, pageToken });
      expect([...firstPage, ...lastPage].flatMap((page) => page.messages)).toMatchObject([
        { position: 1, body: { value: { content: [{ part: { value: { text: 'hello' } } }] } } },
        { position: 2, body: { value: { content: [{ part: { value: { text: textOf(events) } } }] } } },
      ]);
      expect(lastPage[0]?.nextPageToken).toBe('');
    });

    test('goes on after any cursor by Subscribe, without a gap or a duplicate', async () => {
      const agentId = newAgent();
      const { messages } = await send(receive, { agentId, input: text('!stream 6 0') });
      const logged = eventsOf(messages).slice(1);
      for (const place of [0, Math.floor(logged.length / 2), logged.length - 2]) {
        const { turnId, cursor: afterCursor } = logged[place]!;
        const rest = await send(subscribe, { agentId, turnId, afterCursor, follow: true });
        expect(rest.status.code).toBe('OK');
        expect(eventsOf(rest.messages)).toEqual(logged.slice(place + 1));
      }
    });

    test('attaches to the turn of a request that it repeats', async () => {
      const request = { agentId: newAgent(), input: text('hello'), requestId: 'r-1' };
      const first = await send(receive, request);
      const again = await send(receive, request);
      const [accepted, ...events] = eventsOf(again.messages);
      expect(accepted?.payload.value).toMatchObject({ deduplicated: true });
      expect(events).toEqual(eventsOf(first.messages).slice(1));
    });

    test('is told the reason of an error, with the facts that belong to it', async () => {
      const agentId = newAgent();
      const unknown = await send(listMessages, { agentId });
      expect(unknown.status.code).toBe('NOT_FOUND');
      expect(errorInfoOf(unknown.status)).toMatchObject({ domain: 'agentx', reason: 'AGENT_NOT_FOUND' });

      const busyRequest = { agentId, input: text('!stream 20 200') };
      await using busy = await startCall(program(), target(), receive, busyRequest);
      await busy.waitForLine(/turnStarted/);
      const refused = await send(receive, { agentId, input: text('hello') });
      expect(refused.status.code).toBe('ABORTED');
      const { messages, status } = await busy.result();
      expect(status.code).toBe('OK');
      expect(errorInfoOf(refused.status)).toMatchObject({
        reason: 'TURN_IN_PROGRESS',
        metadata: { turn_id: eventsOf(messages)[0]?.turnId },
      });
    });

    test('is told which fields of a request are wrong', async () => {
      const { status } = await send(listMessages, { agentId: 'no spaces allowed' });
      expect(status.code).toBe('INVALID_ARGUMENT');
      expect(status.message).toContain('agent_id');
      expect(JSON.stringify(status.details)).toContain('agent_id');
    });

    test('cancels in the middle of a stream, and the turn goes on', async () => {
      const agentId = newAgent();
      const request = { agentId, input: text('!stream 10 200') };
      const { messages, status } = await send(receive, request, { cancelAfter: 5 });
      expect(status.code).toBe('CANCELLED');
      const { turnId } = eventsOf(messages)[0]!;
      expect((await turnEnd(target(), agentId, turnId)).stopReason).toBe(StopReason.END_TURN);
      const { messages: all } = await send(subscribe, { agentId, turnId });
      expect(textOf(eventsOf(all))).toContain(counted(10));
    });

    test('gives a stream a deadline, and the turn goes on', async () => {
      const agentId = newAgent();
      const request = { agentId, input: text('!stream 10 300') };
      const { messages, status } = await send(receive, request, { timeoutMs: 1500 });
      expect(status.code).toBe('DEADLINE_EXCEEDED');
      const { turnId } = eventsOf(messages)[0]!;
      expect((await turnEnd(target(), agentId, turnId)).stopReason).toBe(StopReason.END_TURN);
    });

    test('pings while a stream is silent', async () => {
      const { silenceMs, keepaliveMs } = silences[name];
      const request = { agentId: newAgent(), input: text(`!stream 2 ${silenceMs}`) };
      const { messages, status } = await send(receive, request, { keepaliveMs });
      expect(status.code).toBe('OK');
      expect(textOf(eventsOf(messages))).toContain(counted(2));
    });
  });
}
