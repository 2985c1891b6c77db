import { describe, expect, test } from '@jest/globals';
import { create } from '@bufbuild/protobuf';
import { ReceiveRequestSchema } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createRequestValidation } from './middleware-validation.ts';

describe('a request that breaks a rule', () => {
  const validate = createRequestValidation();
  const receive = (agentId: string, text: string, requestId = '') =>
    create(ReceiveRequestSchema, { agentId, input: { case: 'text', value: text }, requestId });

  test.each([
    [receive('a1', ' '), 'text: must not be blank: say something'],
    [receive('a1', ''), 'text: must not be blank: say something'],
    [receive('../a', 'hi'), /^agent_id: must be letters, digits/],
    [receive('a1', 'hi', 'with spaces'), /^request_id: must be printable ASCII without spaces/],
    [create(ReceiveRequestSchema, { agentId: 'a1' }), /^input: /],
  ])('is told which field, and how to mend it', (request, text) => {
    expect(() => {
      validate(ReceiveRequestSchema, request);
    }).toThrow(text);
  });

  test('is never answered with a regular expression', () => {
    for (const request of [receive('', ' ', ' '), receive('x'.repeat(200), 'hi', 'ö')])
      expect(() => {
        validate(ReceiveRequestSchema, request);
      }).toThrow(expect.objectContaining({ message: expect.not.stringContaining('regex') }));
  });
});
