import { TurnLog } from './0001-turn-log.ts';

/** The history of the schema, in order. What was released never changes. */
export const migrations = [{ name: '0001-turn-log', class: TurnLog }];
