import { runProgram } from '@agentx/service-kit';
import { startDesktop } from './start-desktop.ts';

await runProgram('desktop', async (life) => {
  const { url, notice } = await startDesktop(process.env, life);
  console.log(`AgentX on ${url}${notice === '' ? '' : `. ${notice}`}`);
});
