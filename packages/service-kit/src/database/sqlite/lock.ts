import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeOwnFolder } from '../../folders/own-folder.ts';
import { StartError } from '../../lifecycle/start-error.ts';
import { isBusy } from './errors.ts';

export interface DataLock {
  release(): void;
}

/**
 * Takes the folder's data for this process. The lock is an open exclusive transaction on a small file beside the
 * data: the operating system drops it when the process ends, however it ends, and the data stays readable for others.
 */
export function lockData(folder: string, name: string): DataLock {
  makeOwnFolder(folder, 'AGENTX_DATABASE_URL');
  const database = new DatabaseSync(join(folder, `${name}.lock`));
  try {
    database.exec('pragma busy_timeout = 0; begin exclusive');
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw error;
    throw new StartError(
      `another AgentX process uses ${folder} (its ${name} data is locked); ` +
        'stop it or set AGENTX_DATABASE_URL to another folder',
      { cause: error },
    );
  }
  return {
    release: () => {
      database.close();
    },
  };
}
