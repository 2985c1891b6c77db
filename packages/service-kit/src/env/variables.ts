import { hostname } from 'node:os';
import { formatHostPort, parseHostPort } from './host-port.ts';
import { InvalidValue } from './invalid-value.ts';
import * as kinds from './kinds.ts';
import { programs } from './program.ts';
import type { Variable } from './variable.ts';

const stores = ['session-store', 'stats-store', 'state-store'] as const;
const engines = ['desktop', 'engine'] as const;

const storeUrl = {
  kind: kinds.storeTarget,
  readBy: engines,
  default: { desktop: 'local' },
  required: true,
} as const;

/**
 * Every environment variable that AgentX reads, declared once: `readEnv` checks against it and the tables of
 * docs/reference.md are generated from it.
 */
export const variables = {
  AGENTX_LISTEN: {
    kind: kinds.hostPort,
    description: 'Address that the API is served on. Port 0 lets the system choose.',
    readBy: programs,
    default: {
      desktop: '127.0.0.1:8080',
      engine: '127.0.0.1:8081',
      'session-store': '127.0.0.1:8091',
      'stats-store': '127.0.0.1:8092',
      'state-store': '127.0.0.1:8093',
    },
    example: '0.0.0.0:8081',
  },
  AGENTX_OPS_LISTEN: {
    kind: kinds.hostPort,
    description: 'Address of `/metrics`, `/healthz` and `/readyz`. Never let it be reached through the edge.',
    readBy: programs,
    default: {
      described: 'host of `AGENTX_LISTEN`, its port + 1000',
      derive(values) {
        const { host, port } = parseHostPort(String(values.AGENTX_LISTEN));
        if (port > 64_535) {
          throw new InvalidValue('has no default for such a high port of AGENTX_LISTEN', 'host:port');
        }
        return formatHostPort({ host, port: port === 0 ? 0 : port + 1000 });
      },
    },
    example: '127.0.0.1:9081',
  },
  AGENTX_DATABASE_URL: {
    kind: kinds.databaseUrl,
    description:
      'Database. SQLite: a folder with a file for each store, made when it does not exist. PostgreSQL: a schema for each store.',
    readBy: ['desktop', ...stores],
    default: { desktop: 'sqlite:.agentx/data' },
    required: true,
    example: 'postgres://agentx:secret@db.internal:5432/agentx',
  },
  AGENTX_DATABASE_DIRECT_URL: {
    kind: kinds.databaseUrl,
    description:
      'Address of the same PostgreSQL past a transaction pooler, for migrations and notifications. Default: `AGENTX_DATABASE_URL`.',
    readBy: ['desktop', ...stores],
    example: 'postgres://agentx:secret@db-direct.internal:5432/agentx',
  },
  AGENTX_SESSION_STORE_URL: {
    ...storeUrl,
    description: 'The session store: `local` (in this process) or a gRPC target.',
    example: 'ipv4:127.0.0.1:8091,127.0.0.1:8094',
  },
  AGENTX_STATS_STORE_URL: {
    ...storeUrl,
    description: 'The statistics store: `local` (in this process) or a gRPC target.',
    example: 'dns:///stats-store:8092',
  },
  AGENTX_STATE_STORE_URL: {
    ...storeUrl,
    description: 'The state store: `local` (in this process) or a gRPC target.',
    example: 'dns:///state-store:8093',
  },
  AGENTX_WORKSPACE_ROOT: {
    kind: kinds.path,
    description:
      "Folder of the agents' project folders. Every engine must see the same files in it: a shared file system in the cloud.",
    readBy: engines,
    default: { desktop: '.agentx/workspaces' },
    required: true,
    example: '/mnt/agentx',
  },
  AGENTX_MODEL: {
    kind: kinds.text,
    description: 'Model of agents that name none.',
    readBy: engines,
    default: 'claude-sonnet-5-5',
    example: 'claude-opus-5-5',
  },
  AGENTX_PROVIDER: {
    kind: kinds.choice('anthropic', 'simulated'),
    description:
      'Who answers. Default: `anthropic` where `ANTHROPIC_API_KEY` is set. Without a key the desktop falls back to the simulated model and says so; an engine refuses to start.',
    readBy: engines,
    example: 'simulated',
  },
  ANTHROPIC_API_KEY: {
    kind: kinds.text,
    description: "Key of Anthropic's API.",
    readBy: engines,
    secret: true,
    example: 'sk-ant-…',
  },
  ANTHROPIC_BASE_URL: {
    kind: kinds.httpUrl,
    description: "Another server that speaks Anthropic's Messages API. Default: Anthropic's own.",
    readBy: engines,
    example: 'https://gateway.internal',
  },
  AGENTX_LEASE_TTL_MS: {
    kind: kinds.integer({ min: 100, max: 600_000, unit: 'milliseconds' }),
    description:
      'How long a turn stays with an engine that writes nothing; then another one may take it over.',
    readBy: engines,
    default: '15000',
    example: '15000',
  },
  AGENTX_ENGINE_ID: {
    kind: kinds.identifier,
    description: 'Name of this engine in events, steps and logs; unique among running engines.',
    readBy: engines,
    default: { described: 'the host name', derive: () => hostname() },
    example: 'engine-1',
  },
  AGENTX_AUTO_CREATE_AGENTS: {
    kind: kinds.boolean,
    description: 'Whether a message to an unknown agent creates it with defaults.',
    readBy: engines,
    default: { desktop: 'true', engine: 'false' },
    example: 'true',
  },
  AGENTX_SANDBOX: {
    kind: kinds.choice('bubblewrap', 'off'),
    description:
      'How tools are confined. With `off` they run with all rights of the engine, and every answer says so.',
    readBy: engines,
    default: 'bubblewrap',
    example: 'off',
  },
  AGENTX_TOOL_TIMEOUT_MS: {
    kind: kinds.integer({ min: 1000, max: 86_400_000, unit: 'milliseconds' }),
    description: 'How long one tool call may run.',
    readBy: engines,
    default: '600000',
    example: '120000',
  },
  AGENTX_DRAIN_MS: {
    kind: kinds.integer({ min: 0, max: 3_600_000, unit: 'milliseconds' }),
    description: 'How long running turns may go on after SIGTERM before they are handed over.',
    readBy: engines,
    default: { desktop: '1000', engine: '20000' },
    example: '60000',
  },
  AGENTX_JWT_ISSUER: {
    kind: kinds.text,
    description:
      'Who issues the tokens that callers send (`iss`). Where the variables of tokens are set, every call needs one; where not, everybody who reaches the engine acts for the tenant `default`.',
    readBy: engines,
    example: 'https://login.example.com/',
  },
  AGENTX_JWT_AUDIENCE: {
    kind: kinds.text,
    description: 'For whom the tokens are issued (`aud`).',
    readBy: engines,
    example: 'agentx',
  },
  AGENTX_JWT_JWKS: {
    kind: kinds.keysLocation,
    description:
      "The issuer's public keys as a JWK set. An address is fetched when it is needed, and again for unknown keys; a file is read at the start.",
    readBy: engines,
    example: 'https://login.example.com/.well-known/jwks.json',
  },
  AGENTX_JWT_PUBLIC_KEY: {
    kind: kinds.path,
    description: "The issuer's one public key or certificate as a PEM file, instead of `AGENTX_JWT_JWKS`.",
    readBy: engines,
    example: '/etc/agentx/issuer.pem',
  },
  AGENTX_JWT_TENANT_CLAIM: {
    kind: kinds.text,
    description: "The token's claim that names the tenant.",
    readBy: engines,
    default: 'tenant',
    example: 'https://example.com/tenant',
  },
  AGENTX_TLS_CERT: {
    kind: kinds.path,
    description:
      "This process's certificate (with its chain) as a PEM file. With the other two `AGENTX_TLS_…`, engines and stores speak mutual TLS: stores serve `engine` and `engine-…` only, by the certificate's name.",
    readBy: programs,
    example: '/etc/agentx/tls/tls.crt',
  },
  AGENTX_TLS_KEY: {
    kind: kinds.path,
    description: "The certificate's private key as a PEM file.",
    readBy: programs,
    example: '/etc/agentx/tls/tls.key',
  },
  AGENTX_TLS_CA: {
    kind: kinds.path,
    description: 'The authority that signs the certificates of engines and stores, as a PEM file.',
    readBy: programs,
    example: '/etc/agentx/tls/ca.crt',
  },
  AGENTX_INSECURE_ALLOW_UNAUTHENTICATED: {
    kind: kinds.boolean,
    description:
      'Whether to listen on other addresses than loopback although callers prove nothing: an engine without tokens, a store without TLS. Only where nobody else reaches the address.',
    readBy: programs,
    default: 'false',
    example: 'true',
  },
  AGENTX_LOG_LEVEL: {
    kind: kinds.choice('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    description: 'Least severe log lines that are written.',
    readBy: programs,
    default: 'info',
    example: 'debug',
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    kind: kinds.httpUrl,
    description:
      'Where traces are sent, by OTLP over HTTP; `/v1/traces` is added. Switches tracing on. The other `OTEL_EXPORTER_OTLP_*` variables of OpenTelemetry (certificates, compression, timeout …) hold too.',
    readBy: programs,
    example: 'http://otel-collector:4318',
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    kind: kinds.text,
    description: 'Headers that are sent along with traces, for example a key.',
    readBy: programs,
    secret: true,
    example: 'x-api-key=…',
  },
  OTEL_EXPORTER_OTLP_PROTOCOL: {
    kind: kinds.choice('http/protobuf'),
    description: 'Encoding of traces. There is only one.',
    readBy: programs,
    example: 'http/protobuf',
  },
  OTEL_TRACES_EXPORTER: {
    kind: kinds.choice('otlp', 'none'),
    description:
      'Whether traces are sent. Default: `otlp` where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, else `none`.',
    readBy: programs,
    example: 'otlp',
  },
  OTEL_TRACES_SAMPLER: {
    kind: kinds.choice(
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ),
    description:
      'Which traces are kept. The `parentbased_…` ones follow the caller where it sends a `traceparent`. Default: `parentbased_always_on`.',
    readBy: programs,
    example: 'parentbased_traceidratio',
  },
  OTEL_TRACES_SAMPLER_ARG: {
    kind: kinds.share,
    description: 'Share of the traces that `traceidratio` keeps. Default: 1.',
    readBy: programs,
    example: '0.1',
  },
  OTEL_SERVICE_NAME: {
    kind: kinds.text,
    description: "Name of the program in traces. Default: `agentx-` and the program's name.",
    readBy: programs,
    example: 'agentx-engine',
  },
  OTEL_RESOURCE_ATTRIBUTES: {
    kind: kinds.text,
    description: 'Further attributes of every span, as `key=value,key=value`.',
    readBy: programs,
    example: 'deployment.environment.name=staging',
  },
  OTEL_SDK_DISABLED: {
    kind: kinds.boolean,
    description: 'Switches tracing off, whatever else is set.',
    readBy: programs,
    example: 'true',
  },
} as const satisfies Record<string, Variable>;

/** Name of a variable of the catalogue. */
export type VariableName = keyof typeof variables;
