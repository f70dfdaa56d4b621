import type { DescService } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { OpenBroker } from "../events/broker-opener.ts";
import type { EntryPasses } from "../identity/entry-pass.ts";
import type { Leases } from "../lease/leases.ts";
import type { MigrateOptions } from "../postgres/migrate.ts";
import type { Consumption } from "../service/consumption.ts";
import type { PersonalDataHolders, ServiceInfo } from "../service/define-service.ts";
import type { PostgresDecl } from "../service/stores.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";

/** How a runtime connects a service to the outside. */
export interface Wiring {
  /** URL of a declared store that is no folder, with the service's own credentials. */
  storeUrl(info: ServiceInfo, store: string): string;
  /** Absolute path of a declared folder. */
  storePath(this: void, info: ServiceInfo, store: string): string;
  /** URL of a declared PostgreSQL database with the role that owns its schema. */
  schemaUrl(info: ServiceInfo, store: string): string;
  /** Values of the service's settings. */
  config(info: ServiceInfo): Readonly<Record<string, unknown>>;
  /** Carries calls of a service to an RPC service. */
  transport(info: ServiceInfo, target: DescService): Transport;
  /** Who holds data of people; asked for only by a service that collects it. */
  personalData(info: ServiceInfo): PersonalDataHolders;
  /** Verifies entry passes; used only by a service that declares it. */
  readonly entryPasses: EntryPasses;
  /** Roles that get rights on a database once its schema is current; absent where they are handed out elsewhere. */
  grants(store: PostgresDecl): Pick<MigrateOptions, "dataRole" | "readers">;
  /** Names of the topics on which a message comes that a service consumes. */
  consumedTopics(this: void, consumption: Consumption): readonly string[];
  /** Names of the services that ask a service for its state again. */
  askers(this: void, info: ServiceInfo): readonly string[];
  readonly broker: Pick<OpenBroker, "publish" | "subscribe" | "deadLetters" | "consumerGroups">;
  readonly leases: Pick<Leases, "leaseholder">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
}
