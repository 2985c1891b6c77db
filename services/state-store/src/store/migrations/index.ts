import { Agents } from './0001-agents.ts';

/** The history of the schema, in order. What was released never changes. */
export const migrations = [{ name: '0001-agents', class: Agents }];
