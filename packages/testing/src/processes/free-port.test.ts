import { expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { freePort } from './free-port.ts';

test('a free port can be listened on, and so can the port + 1000', async () => {
  const port = await freePort();
  for (const candidate of [port, port + 1000]) {
    const server = createServer().listen(candidate, '127.0.0.1');
    await once(server, 'listening');
    server.close();
  }
});

test('no port is given twice', async () => {
  const ports = await Promise.all(Array.from({ length: 50 }, freePort));
  expect(new Set(ports).size).toBe(50);
});
