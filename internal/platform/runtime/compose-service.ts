import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Client, type Transport } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";
import type { Consumer, EventBus } from "../events/event-bus.ts";
import { createInboxPruner } from "../events/inbox.ts";
import { createOutboxRelay, createPublish, type OutboxRelay } from "../events/outbox.ts";
import { topicOf, topicsOf } from "../events/topics.ts";
import { migrate, type MigrateOptions } from "../postgres/migrate.ts";
import { openDatabase, openReadOnlyDatabase } from "../postgres/open-database.ts";
import { openRedis, openRedisReader } from "../redis/open-redis.ts";
import type { RunningService } from "../rpc/call/plan.ts";
import { activeTrace } from "../telemetry/active-trace.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { checkParts } from "../catalog/check-parts.ts";
import { createGroup, type Component } from "../lifecycle/component.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { partsOf, type OutboxState, type Republisher } from "../service/parts.ts";
import { createLostRebuilder } from "./rebuild-lost.ts";
import type { PostgresDecl, StoreDecl } from "../service/stores.ts";
import { subscriptionsOf } from "./subscriptions.ts";
import { within } from "../lifecycle/within.ts";

/** How a runtime connects a service to the outside. */
export interface Wiring {
  /** URL of a declared store, with the service's own credentials. */
  storeUrl(info: ServiceInfo, store: string): string;
  /** URL of a declared PostgreSQL database with the role that owns its schema. */
  schemaUrl(info: ServiceInfo, store: string): string;
  /** Values of the service's settings. */
  config(info: ServiceInfo): Readonly<Record<string, unknown>>;
  /** Carries calls of a service to an RPC service. */
  transport(info: ServiceInfo, target: DescService): Transport;
  /** Roles that get rights on a database once its schema is current; absent where they are handed out elsewhere. */
  grants(store: PostgresDecl): Pick<MigrateOptions, "dataRole" | "readers">;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
}

/** A store as a running service holds it. */
export interface OpenStore {
  /** Name in the declaration. */
  readonly name: string;
  readonly decl: StoreDecl;
  /** Why it cannot be used, or `undefined` when it answered. */
  probe(): Promise<string | undefined>;
}

/** A service that was put together and can run. */
export interface ComposedService extends Component {
  readonly info: ServiceInfo;
  /** Its RPC services. Before the service is up, each call is UNAVAILABLE with reason SERVICE_STARTING. */
  readonly served: readonly RunningService[];
  readonly stores: readonly OpenStore[];
  /** Outboxes: the database's, or the service's own. */
  readonly outboxes: readonly { read(): Promise<OutboxState> }[];
  readonly republishers: readonly Republisher[];
  /** Resolves once its schema is current and its consumers and background work run. Rejects when it was stopped before. */
  readonly up: Promise<void>;
  /** Why it is not ready to serve, or `undefined` when it is. */
  readiness(): Promise<string | undefined>;
}

/** Pauses between attempts to bring a service up while a store is away, in milliseconds. */
const bringUpPauseMs = 500;

/** A service's own check of its readiness may take so long, in milliseconds. */
const checkMsMax = 1000;

/** Connections in a service's PostgreSQL pool. */
const databasePoolMax = 8;

/**
 * Puts a service together: opens its stores, gives `create` what the declaration says, and checks what it returned. Nothing
 * connects before `start`, and `start` does not wait for a store that is away: the service comes up when it is back.
 */
export function composeService(info: ServiceInfo, wiring: Wiring): ComposedService {
  const { bus, clock, random } = wiring;
  const log = wiring.log.child({ service: info.name });
  const source = `/muin/${info.name}`;
  const opened = Object.entries(info.stores).map(([name, decl]) => openStore(info, name, decl, wiring, log));
  const topics = new Set(info.publishes.map((schema) => topicOf(schema)));
  const calls = Object.entries(info.calls);
  const parts = info.create({
    calls: Object.fromEntries(
      calls.map(([key, service]): [string, Client<DescService>] => [
        key,
        createClient(service, wiring.transport(info, service)),
      ]),
    ),
    stores: Object.fromEntries(opened.map(({ name, handle }) => [name, handle])) as never, // Typed by the declaration.
    publish: createPublish({ source, clock, random, currentTraceparent }),
    bus: {
      publish: async (records, fence) => {
        const foreign = records.find(({ topic }) => !topics.has(topic));
        if (foreign !== undefined) throw new Error(`${info.name} does not declare an event on ${foreign.topic}`);
        await bus.publish(records, fence);
      },
      leaseholder: (lease, work) => bus.leaseholder(lease, work),
    },
    config: wiring.config(info),
    clock,
    random,
    log,
    metrics: wiring.metrics,
  });
  const problems = checkParts(info, parts);
  if (problems.length > 0) throw new Error(problems.join("; "));

  const owned = opened.find(({ decl }) => decl.kind === "postgres" && decl.access === "owner");
  const relay: OutboxRelay | undefined =
    owned?.database === undefined || info.publishes.length === 0
      ? undefined
      : createOutboxRelay({
          service: info.name,
          database: owned.database,
          bus,
          clock,
          random,
          log,
          metrics: wiring.metrics,
        });
  const consumers: readonly Consumer[] = subscriptionsOf(info, partsOf(parts, "handled"), wiring.tracing).map(
    (subscription) => bus.subscribe(subscription),
  );
  const consumed = topicsOf(info.consumes.map(({ schema }) => schema));
  const pruner =
    owned?.database === undefined || consumed.length === 0
      ? undefined
      : createInboxPruner({
          service: info.name,
          database: owned.database,
          bus,
          retentionMs: Math.max(...consumed.map(({ retentionMs }) => retentionMs)),
          clock,
          log,
        });
  const work = createGroup(info.name, [
    ...(relay === undefined ? [] : [relay]),
    ...(pruner === undefined ? [] : [pruner]),
    ...consumers,
    ...partsOf(parts, "background").map(({ component }) => component),
    ...partsOf(parts, "rebuilder").map((rebuilder) =>
      createLostRebuilder({ service: info.name, rebuilder, bus, clock, log }),
    ),
  ]);
  const stores = createGroup(
    info.name,
    opened.map(({ component }) => component),
  );

  let isUp = false;
  const stopping = new AbortController();
  const up = Promise.withResolvers<void>();
  up.promise.catch(() => undefined); // Whoever does not wait for it learns from the log.
  let bringingUp: Promise<void> = Promise.resolve();
  const bringUp = async (): Promise<void> => {
    for (;;) {
      try {
        for (const { name, decl } of opened) {
          if (decl.kind !== "postgres" || decl.access !== "owner") continue;
          const { migrations } = decl;
          await migrate({ url: wiring.schemaUrl(info, name), migrations, log, ...wiring.grants(decl) });
        }
        break;
      } catch (error) {
        if (stopping.signal.aborted) throw error;
        if (!(error instanceof MuinError) || error.code !== "unavailable") throw error;
        log.warn("waiting for a store to come up", { err: error });
        await clock.sleep(bringUpPauseMs, stopping.signal);
      }
    }
    stopping.signal.throwIfAborted();
    await work.start();
    await Promise.all(consumers.map(({ caughtUp }) => caughtUp));
    isUp = true;
  };

  return {
    info,
    name: info.name,
    served: partsOf(parts, "served").map(({ part, service, impl }) => ({
      part,
      service,
      impl,
      hot: info.hot,
      owner: info.name,
      isUp: () => isUp,
      callsOthers: calls.length > 0,
    })),
    stores: opened,
    outboxes: [...(relay === undefined ? [] : [relay]), ...partsOf(parts, "outbox")],
    republishers: partsOf(parts, "republisher"),
    up: up.promise,
    readiness: async () => {
      if (!isUp) return "starting";
      const checks = partsOf(parts, "readiness");
      const answers = await Promise.all([
        ...opened.filter(({ decl }) => isEssential(decl)).map(async (store) => named(store.name, await store.probe())),
        ...checks.map(async ({ name, check }) => {
          const answer = await within(
            clock,
            checkMsMax,
            check().then((problem) => ({ problem })),
          );
          return named(name, answer === undefined ? "does not answer" : answer.problem);
        }),
      ]);
      return answers.find((answer) => answer !== undefined);
    },
    start: async () => {
      await stores.start();
      bringingUp = bringUp().then(up.resolve, (error: unknown) => {
        if (!stopping.signal.aborted) log.error("the service cannot come up", { err: error });
        up.reject(error);
      });
    },
    stop: async () => {
      stopping.abort(new Error(`${info.name} is stopping`));
      await work.stop();
      await bringingUp;
      await stores.stop();
    },
  };
}

function currentTraceparent(): string {
  return activeTrace()?.traceparent ?? "";
}

/** A cache, a replica and another service's views can be away: who uses them serves without, or says so per call. */
function isEssential(decl: StoreDecl): boolean {
  return decl.kind === "postgres" ? decl.access === "owner" : decl.durability === "durable" && decl.role === "primary";
}

function named(name: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${name}: ${problem}`;
}

function openStore(info: ServiceInfo, name: string, decl: StoreDecl, wiring: Wiring, log: Logger) {
  const url = wiring.storeUrl(info, name);
  if (decl.kind === "postgres") {
    const options = { url, poolMax: databasePoolMax, applicationName: `muin-${info.name}`, metrics: wiring.metrics };
    if (decl.access === "owner") {
      const database = openDatabase(options);
      return { name, decl, handle: database, component: database, database, probe: () => database.probe() };
    }
    const database = openReadOnlyDatabase(options);
    return { name, decl, handle: database, component: database, database: undefined, probe: () => database.probe() };
  }
  const options = { url, name: `${info.name}/${name}`, clock: wiring.clock, log };
  const redis = decl.access === "read-write" ? openRedis(options) : openRedisReader(options);
  return { name, decl, handle: redis, component: redis, database: undefined, probe: () => redis.probe() };
}
