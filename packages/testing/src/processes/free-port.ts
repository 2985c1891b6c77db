import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

// Below the range that kernels give to outgoing connections (from 32768 on Linux, 49152 on macOS): a server that a
// test kills and starts again finds its port still free, which a port from `listen(0)` cannot promise.
const firstPort = 20_000;
const lastPort = 30_999;
const opsOffset = 1_000;

const handedOut = new Set<number>();

/**
 * A TCP port that is free on 127.0.0.1. The port + 1000, where a service serves its ops by default, is free too.
 * A process is never given the same port twice.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(firstPort, lastPort + 1);
    if (handedOut.has(port) || handedOut.has(port + opsOffset)) continue;
    if (!(await canListen(port)) || !(await canListen(port + opsOffset))) continue;
    handedOut.add(port).add(port + opsOffset);
    return port;
  }
  throw new Error(`no free port between ${firstPort} and ${lastPort} on 127.0.0.1 after 200 attempts`);
}

async function canListen(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    server.listen({ host: '127.0.0.1', port }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
