/** A process that writes groups of rows and prints each row's id once it is told that the row is durable. */
import { addItem, openItems, T } from './item.fixture.ts';

const database = await openItems(`sqlite:${String(process.argv[2])}`);
let next = 0;
async function writeOn(): Promise<void> {
  const id = String(next++).padStart(6, '0');
  await database.transaction(T, (tx) => addItem(tx, id));
  process.stdout.write(`durable ${id}\n`);
  return writeOn();
}
await Promise.all(Array.from({ length: 8 }, writeOn));
