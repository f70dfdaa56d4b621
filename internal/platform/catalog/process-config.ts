import { flag, int, oneOf, text, type ConfigValues } from "../config/fields.ts";
import { issuerField } from "../identity/issuer.ts";
import { insecureField } from "../tls/exposure.ts";
import { tlsConfig } from "../tls/tls-config.ts";

/** Stands for the pages of this machine, whatever their port. */
export const localOrigins = "localhost";

/** Settings of a process, whatever services it runs. */
export const processConfig = {
  host: text("HOST", { doc: "Address that both ports listen on.", default: "127.0.0.1" }),
  httpPort: int("HTTP_PORT", {
    doc: "Port of Connect, gRPC-Web, REST and pages; 0 takes any free one.",
    default: 8080,
    max: 65_535,
  }),
  grpcPort: int("GRPC_PORT", { doc: "Port of native gRPC; 0 takes any free one.", default: 9090, max: 65_535 }),
  operatorPort: int("OPERATOR_PORT", {
    doc: "Port of the status page, Prometheus metrics and readiness with its reasons; 0 takes any free one.",
    default: 9091,
    max: 65_535,
  }),
  operatorHost: text("OPERATOR_HOST", {
    doc: "Address that this port listens on. One that others reach takes TLS.",
    default: "127.0.0.1",
  }),
  user: text("USER", {
    doc: 'User that a process which root starts goes on as; "root" stays. Default: muin, which is made on first use.',
    default: "",
  }),
  operatorNames: text("OPERATOR_NAMES", {
    doc: "Names by which this port may be called beside addresses, localhost and the one above, separated by commas; others get 421.",
    default: "",
  }),
  logLevel: oneOf("LOG_LEVEL", ["debug", "info", "warn", "error"], {
    doc: "Least serious log lines that are written.",
    default: "info",
  }),
  issuer: issuerField,
  corsOrigins: text("CORS_ORIGINS", {
    doc: 'Origins whose pages may call, separated by commas, "*" for any. Default: pages of this machine only.',
    default: localOrigins,
  }),
  trustedHops: int("TRUSTED_HOPS", {
    doc: "Routers in front that set X-Forwarded-For: 1 behind Envoy, 0 when clients connect directly.",
    default: 0,
    max: 8,
  }),
  strangerRequestsPerS: int("STRANGER_REQUESTS_PER_S", {
    doc: "Calls without credentials and requests for pages that one network may make in a second; twice as many at once.",
    default: 100,
    min: 1,
    max: 1_000_000,
  }),
  behindProxy: flag("BEHIND_PROXY", {
    doc: "Says that a proxy passes calls of others on and speaks TLS to them, so that a loopback address is no sign that only this machine calls.",
    default: false,
  }),
  insecure: insecureField,
  ...tlsConfig,
  drainMs: int("DRAIN_MS", {
    doc: "How long a stopping process stays reachable while not ready, so that the router notices; in milliseconds.",
    default: 0,
    max: 60_000,
  }),
  shutdownGraceMs: int("SHUTDOWN_GRACE_MS", {
    doc: "How long calls may take to finish once the process stops, in milliseconds.",
    default: 5_000,
    max: 60_000,
  }),
  eventPartitions: int("EVENT_PARTITIONS", {
    doc: "Partitions of every topic. Recorded in the events store at its first use; another number refuses to start.",
    default: 4,
    min: 1,
    max: 64,
  }),
  outboxAgeMsMax: int("OUTBOX_AGE_MS_MAX", {
    doc: "How long an event may wait to be published before the process says that it is degraded, in milliseconds.",
    default: 30_000,
    min: 1000,
    max: 86_400_000,
  }),
  redisMemoryBytesMax: int("REDIS_MEMORY_BYTES_MAX", {
    doc: "Memory for the data of each Redis server that keeps data and that Muin starts itself, in bytes: beyond it writes are refused and nothing is dropped. 0: half of the machine's memory.",
    default: 0,
    max: 2 ** 44,
  }),
  traceSamplePercent: int("TRACE_SAMPLE_PERCENT", {
    doc: "Share of the traces that begin here, while OTEL_EXPORTER_OTLP_ENDPOINT names a collector.",
    default: 10,
    max: 100,
  }),
} as const;

/** Values of `processConfig`. */
export type ProcessConfig = ConfigValues<typeof processConfig>;
