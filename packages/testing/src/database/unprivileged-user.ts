import { run } from '../infra/run.ts';

export interface User {
  uid: number;
  gid: number;
}

/**
 * The user that PostgreSQL's programs run as when this process is root, because they refuse root: `postgres` where
 * there is one, else `nobody`. Undefined when this process is not root: then they run as its user.
 */
export async function unprivilegedUser(): Promise<User | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const name = await firstUser('postgres', 'nobody');
  const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
  return { uid: Number(uid), gid: Number(gid) };
}

async function firstUser(...names: string[]): Promise<string> {
  for (const name of names) {
    try {
      await run('id', ['-u', name]);
      return name;
    } catch {
      // `id` fails only for a user that does not exist: the next one may.
    }
  }
  throw new Error(`PostgreSQL refuses to run as root, and there is none of these users: ${names.join(', ')}`);
}
