/**
 * Writes the generated parts of docs/reference.md: from the catalogue of environment variables and from the comments
 * of the protobuf files. With `--check`, writes nothing and fails where the file is not what it should be. In both
 * cases its examples must fit the contract, and it must name every reason that the contract names.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DescEnum, DescFile, DescMethod, DescService, FileRegistry } from '@bufbuild/protobuf';
import { createFileRegistry, fromBinary, fromJsonString } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { Program, Variable } from '@agentx/service-kit';
import { isDerived, programs, variables } from '@agentx/service-kit';
import { format, resolveConfig } from 'prettier';
import { root, runStep } from './run-step.ts';

const file = join(root, 'docs', 'reference.md');

async function readContract(): Promise<FileRegistry> {
  const folder = await mkdtemp(join(tmpdir(), 'agentx-reference-'));
  try {
    const image = join(folder, 'image.binpb');
    const { ok, output } = await runStep(['buf', 'build', '--as-file-descriptor-set', '-o', image]);
    if (!ok) throw new Error(`buf build failed:\n${output}`);
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, await readFile(image)));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Our own files, by name. */
function ownFiles(contract: FileRegistry): DescFile[] {
  return [...contract.files]
    .filter(({ name }) => name.startsWith('agentx/'))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** Comment before the element at a path of the file's descriptor, in one line. */
function comment(of: DescFile, path: readonly number[]): string {
  const location = of.proto.sourceCodeInfo?.location.find(
    (candidate) => candidate.path.length === path.length && candidate.path.every((at, i) => at === path[i]),
  );
  const text = location?.leadingComments.trim().replace(/\s+/g, ' ');
  if (!text) throw new Error(`${of.name}: the element at ${path.join('.')} has no comment`);
  return text;
}

/** Field numbers of FileDescriptorProto, DescriptorProto, EnumDescriptorProto and ServiceDescriptorProto. */
const PATH = { message: 4, field: 2, enum: 5, value: 2, service: 6, method: 2 };

function methodComment(method: DescMethod): string {
  const service = method.parent;
  return comment(service.file, [
    PATH.service,
    service.file.services.indexOf(service),
    PATH.method,
    service.methods.indexOf(method),
  ]);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const stores: readonly Program[] = ['session-store', 'stats-store', 'state-store'];

function readers(variable: Variable): string {
  if (variable.readBy.length === programs.length) return 'all';
  const others = variable.readBy.filter((program) => !stores.includes(program));
  return [...others, ...(others.length < variable.readBy.length ? ['stores'] : [])].join(', ');
}

function defaultCell({ default: fallback, required, readBy }: Variable): string {
  if (typeof fallback === 'string') return `\`${fallback}\``;
  if (isDerived(fallback)) return fallback.described;
  const byProgram = Object.entries(fallback ?? {}).map(([program, text]) => `${program}: \`${text}\``);
  const rest = readBy.filter((program) => fallback?.[program] === undefined);
  if (required && rest.length > 0) byProgram.push(`${byProgram.length > 0 ? 'others: ' : ''}must be set`);
  return byProgram.join('<br>');
}

function environment(): string {
  const rows = Object.entries<Variable>(variables).map(([name, variable]) => [
    `\`${name}\``,
    variable.kind.form,
    defaultCell(variable),
    readers(variable),
    `${variable.description} Example: \`${variable.example}\`.`,
  ]);
  return table(['variable', 'value', 'default', 'read by', 'what it does'], rows);
}

function firstSentence(text: string): string {
  return /^.*?[.:](?= [A-Z]|$)/.exec(text)?.[0] ?? text;
}

function serviceSection(service: DescService): string {
  const about = comment(service.file, [PATH.service, service.file.services.indexOf(service)]);
  const rows = service.methods.map((method) => [
    `\`${method.name}\``,
    method.methodKind === 'server_streaming' ? 'stream' : 'one',
    firstSentence(methodComment(method)),
  ]);
  return `### ${service.typeName}\n\n${about}\n\n${table(['method', 'answers', 'what it does'], rows)}`;
}

function methods(contract: FileRegistry): string {
  return ownFiles(contract)
    .flatMap(({ services }) => services)
    .map(serviceSection)
    .join('\n\n');
}

/** The payloads of AgentEvent: their comments begin with the family. */
function events(contract: FileRegistry): string {
  const message = contract.getMessage('agentx.common.v1.AgentEvent');
  if (!message) throw new Error('there is no AgentEvent');
  const index = message.file.messages.indexOf(message);
  const rows = message.fields
    .filter(({ oneof }) => oneof?.name === 'payload')
    .map((field) => {
      const text = comment(message.file, [PATH.message, index, PATH.field, message.fields.indexOf(field)]);
      const [family = '', ...rest] = text.split(': ');
      const what = rest.join(': ');
      return [
        `\`${field.jsonName}\``,
        family.toLowerCase(),
        `${what.charAt(0).toUpperCase()}${what.slice(1)}`,
      ];
    });
  return table(['payload', 'family', 'what happened'], rows);
}

function enumTable(description: DescEnum): string {
  const index = description.file.enums.indexOf(description);
  const rows = description.values.map((value, i) => [
    `\`${value.name}\``,
    comment(description.file, [PATH.enum, index, PATH.value, i]),
  ]);
  return table(['value', 'meaning'], rows);
}

function stopReasons(contract: FileRegistry): string {
  const description = contract.getEnum('agentx.common.v1.StopReason');
  if (!description) throw new Error('there is no StopReason');
  return enumTable(description);
}

/** Puts each text between its markers. */
function fill(document: string, parts: Readonly<Record<string, string>>): string {
  return Object.entries(parts).reduce((result, [name, text]) => {
    const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`];
    const [from, to] = [result.indexOf(begin), result.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`docs/reference.md lacks the markers ${begin} … ${end}`);
    return `${result.slice(0, from + begin.length)}\n\n${text}\n\n${result.slice(to)}`;
  }, document);
}

/** Reasons that comments of the contract name: upper case in backquotes. */
function namedReasons(contract: FileRegistry): Set<string> {
  const texts = ownFiles(contract).flatMap(
    ({ proto }) => proto.sourceCodeInfo?.location.map(({ leadingComments }) => leadingComments) ?? [],
  );
  return new Set(
    texts.flatMap((text) => [...text.matchAll(/`([A-Z][A-Z_]{3,})`/g)].map((match) => match[1] ?? '')),
  );
}

/** What is wrong with the requests of shell blocks and with the answers of `jsonl` blocks. */
function wrongExamples(document: string, contract: FileRegistry): string[] {
  const problems: string[] = [];
  const attempt = (where: string, parse: () => unknown) => {
    try {
      parse();
    } catch (error) {
      problems.push(`${where}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  for (const [, language, body = ''] of document.matchAll(/^```(sh|jsonl)\n([\s\S]*?)^```$/gm)) {
    for (const line of body.replaceAll(/\\\n\s*/g, '').split('\n')) {
      const [, serviceName, methodName] = /(agentx\.[\w.]+)\/(\w+)/.exec(line) ?? [];
      const method = contract.getService(serviceName ?? '')?.methods.find(({ name }) => name === methodName);
      const answer = contract.getMessage('agentx.engine.v1.ReceiveResponse');
      if (language === 'jsonl' && answer && line !== '') {
        attempt(line, () => fromJsonString(answer, line, { registry: contract }));
      }
      if (language === 'jsonl' || methodName === undefined) continue;
      if (!method) problems.push(`${line}: there is no such method`);
      const json = /-d '([^']*)'/.exec(line)?.[1];
      if (method && json !== undefined) {
        attempt(line, () => fromJsonString(method.input, json, { registry: contract }));
      }
    }
  }
  return problems;
}

const contract = await readContract();
const present = await readFile(file, 'utf8');
const filled = fill(present, {
  environment: environment(),
  methods: methods(contract),
  events: events(contract),
  'stop reasons': stopReasons(contract),
});
const wanted = await format(filled, { ...(await resolveConfig(file)), parser: 'markdown' });

const problems = wrongExamples(wanted, contract);
for (const reason of namedReasons(contract)) {
  if (!wanted.includes(`| \`${reason}\``)) problems.push(`the table of reasons lacks ${reason}`);
}
if (process.argv.includes('--check')) {
  if (wanted !== present) problems.push('it is not what the code says: run `npm run reference`');
} else {
  await writeFile(file, wanted);
}
if (problems.length > 0) {
  console.error(problems.map((problem) => `docs/reference.md: ${problem}`).join('\n'));
  process.exitCode = 1;
}
