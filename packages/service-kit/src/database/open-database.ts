import type { Database, OpenDatabaseOptions } from './database.ts';
import { observeDatabase } from './observed.ts';
import { openPostgresDatabase } from './postgres/open.ts';
import { openSqliteDatabase } from './sqlite/open.ts';

/**
 * Opens a service's data and brings its schema up to date. On SQLite the folder is created where it is missing and
 * belongs to this process until `close`: a second process gets an error that names it.
 */
export async function openDatabase(options: OpenDatabaseOptions): Promise<Database> {
  const database = await openByScheme(options);
  return options.observer === undefined ? database : observeDatabase(database, options.observer);
}

async function openByScheme(options: OpenDatabaseOptions): Promise<Database> {
  if (!/^[a-z][a-z_]*$/.test(options.name)) {
    throw new Error(`"${options.name}" is no name for a database: lower-case letters and underscores only`);
  }
  const [scheme, rest = ''] = splitOnce(options.url, ':');
  switch (scheme) {
    case 'sqlite':
      if (rest === '') throw new Error('the database address "sqlite:" names no folder: write sqlite:FOLDER');
      return openSqliteDatabase(rest, options);
    case 'postgres':
    case 'postgresql':
      return openPostgresDatabase(options);
    default:
      // The address may hold a password, so it is not repeated.
      throw new Error(
        'the database address must be sqlite:FOLDER or postgres://USER:PASSWORD@HOST:PORT/DATABASE',
      );
  }
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
