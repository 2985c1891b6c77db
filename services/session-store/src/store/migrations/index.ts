import { TurnLog } from './0001-turn-log.ts';
import { RowSecurity } from './0002-row-security.ts';

/** The history of the schema, in order. What was released never changes. */
export const migrations = [
  { name: '0001-turn-log', class: TurnLog },
  { name: '0002-row-security', class: RowSecurity },
];
