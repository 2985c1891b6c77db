import { describe, expect, test } from '@jest/globals';
import { mayCall, namesOf } from './caller-policy.ts';

const STORE = '/agentx.session.v1.SessionStoreService/AppendEvents';
const HEALTH = '/grpc.health.v1.Health/Check';
const REFLECTION = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';

test.each([
  ['engine', [STORE, HEALTH, REFLECTION]],
  ['engine-1', [STORE, HEALTH, REFLECTION]],
  ['engine.agentx.svc', [STORE, HEALTH, REFLECTION]],
  ['ops', [HEALTH]],
  ['ops-eu', [HEALTH]],
  ['engines', []],
  ['session-store', []],
  ['x.engine', []],
  ['', []],
])('%j may call %j', (name, paths) => {
  expect([STORE, HEALTH, REFLECTION].filter((path) => mayCall([name], path))).toEqual(paths);
});

test('nobody may call nothing', () => {
  expect(mayCall([], HEALTH)).toBe(false);
});

describe('the names of a certificate', () => {
  const subject = { C: '', ST: '', L: '', O: '', OU: '', CN: 'engine-1' };

  test('are those of DNS and the common name', () => {
    const subjectaltname = 'DNS:engine.svc, IP Address:127.0.0.1, DNS:localhost, URI:DNS:engine-2';
    expect(namesOf({ subject, subjectaltname })).toEqual(['engine.svc', 'localhost', 'engine-1']);
  });

  test('cannot be smuggled into one another', () => {
    const subjectaltname = 'DNS:"a, DNS:engine-2", DNS:b';
    expect(namesOf({ subject: { ...subject, CN: 'a' }, subjectaltname })).not.toContain('engine-2');
  });

  test('several common names are none', () => {
    const several = { ...subject, CN: ['engine-1', 'other'] as unknown as string };
    expect(namesOf({ subject: several, subjectaltname: undefined as unknown as string })).toEqual([]);
  });

  test('of no certificate there are none', () => {
    expect(namesOf(undefined)).toEqual([]);
  });
});
