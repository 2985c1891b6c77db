import { createHash, randomBytes } from 'node:crypto';
import { access, chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundPart } from '../infra/parts.ts';
import { infraFolder } from '../infra/paths.ts';
import { run } from '../infra/run.ts';
import { temporaryFolder } from '../processes/temporary-folder.ts';
import type { User } from './unprivileged-user.ts';

export const superuser = 'postgres';
/** Owns the databases that suites use: no superuser, so that privileges and row-level security hold as in the cloud. */
export const owner = 'agentx';

/** A data folder as initdb leaves it, with both users, to be copied for each server: initdb takes seconds. */
export interface Template {
  data: string;
  /** Of both users. */
  password: string;
}

const initdbArgs = [
  `--username=${superuser}`,
  '--auth=scram-sha-256',
  '--encoding=UTF8',
  '--locale=C',
  '--no-sync',
  '--no-instructions',
];

/** Makes the template for this version of PostgreSQL where it is not there yet. */
export async function ensureTemplate(postgres: FoundPart, user: User | undefined): Promise<Template> {
  const parent = join(infraFolder, 'pg-template');
  const folder = join(parent, `${postgres.version}-${recipeHash()}`);
  if (!(await exists(folder))) {
    await mkdir(parent, { recursive: true });
    await makeTemplate(postgres, user, parent, folder);
  }
  return { data: join(folder, 'data'), password: await readFile(join(folder, 'password'), 'utf8') };
}

async function makeTemplate(postgres: FoundPart, user: User | undefined, parent: string, folder: string) {
  await using work = await temporaryFolder('agentx-pg-template-');
  const data = join(work.path, 'data');
  const passwordFile = join(work.path, 'password');
  const password = randomBytes(18).toString('base64url');
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (user !== undefined) {
    await chown(work.path, user.uid, user.gid);
    await chown(passwordFile, user.uid, user.gid);
  }
  const options = { ...user, cwd: work.path, env: { LC_ALL: 'C', TZ: 'UTC' } };
  await run(join(postgres.path, 'initdb'), ['-D', data, `--pwfile=${passwordFile}`, ...initdbArgs], options);
  await run(join(postgres.path, 'postgres'), ['--single', '-D', data, 'postgres'], {
    ...options,
    input: `${createOwner(password)}\n`,
  });

  const copy = join(parent, `.new-${randomBytes(6).toString('hex')}`);
  try {
    await run('cp', ['-R', '-p', work.path, copy]);
    if (user !== undefined) await run('chown', ['-R', '0:0', copy]);
    await chmod(copy, 0o700);
    await rename(copy, folder);
  } catch (error) {
    await rm(copy, { recursive: true, force: true });
    // Another process may have been faster; then its template serves.
    if (!(await exists(folder))) throw error;
  }
}

function createOwner(password: string): string {
  return `create role ${owner} login nosuperuser nobypassrls password '${password}'`;
}

function recipeHash(): string {
  const recipe = [...initdbArgs, createOwner('')].join('\n');
  return createHash('sha256').update(recipe).digest('hex').slice(0, 8);
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
