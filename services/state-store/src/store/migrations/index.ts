import { Agents } from './0001-agents.ts';
import { RowSecurity } from './0002-row-security.ts';

/** The history of the schema, in order. What was released never changes. */
export const migrations = [
  { name: '0001-agents', class: Agents },
  { name: '0002-row-security', class: RowSecurity },
];
