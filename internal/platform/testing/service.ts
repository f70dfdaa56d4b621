import { createRegistry, fromBinary, type DescService, type Message } from "@bufbuild/protobuf";
import { createClient, type Client, type Transport } from "@connectrpc/connect";
import { systemClock, type Clock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { createRecord, topicOf, topicsFrom } from "../events/topics.ts";
import type { Caller } from "../identity/caller.ts";
import type { EntryPasses } from "../identity/entry-pass.ts";
import type { OpenDatabase } from "../postgres/open-database.ts";
import { planMethods } from "../rpc/call/plan.ts";
import { createLocalLane } from "../rpc/local/lane.ts";
import { assembleService, type AssembledService } from "../runtime/assemble-service.ts";
import type { Wiring } from "../runtime/wiring.ts";
import type { PersonalDataHolders, ServiceInfo } from "../service/define-service.ts";
import { partsOf, type ServicePart } from "../service/parts.ts";
import type { CallObserver } from "../telemetry/call-observer.ts";
import { createMetrics, type MetricsRegistry } from "../telemetry/create-metrics.ts";
import type { EventPublisher } from "../service/event-record.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createTracing } from "../telemetry/tracing.ts";
import { sharedPostgres } from "./postgres.ts";

/** A service in this process, put together as a runtime does it, on a PostgreSQL database of its own, without background work. */
export interface TestService extends AsyncDisposable {
  /** The database's URL, for another process. */
  readonly url: string;
  readonly database: OpenDatabase;
  readonly parts: readonly ServicePart[];
  /** Calls as somebody: policy, validation and errors as over the network. */
  as<S extends DescService>(service: S, caller: Caller): Client<S>;
  /** Hands an event to its handler, as the bus does; `eventId` is new unless given, and the epoch 0. */
  deliver(event: Message, eventId?: string, epoch?: number): Promise<void>;
  /** Events in the order in which they were recorded. */
  events(): Promise<readonly Message[]>;
  /** Records the state of a topic again; returns how many. */
  republish(topic: string): Promise<number>;
  /** The same service started once more: it remembers nothing, and has the same database. Goes with the first one. */
  again(): TestService;
}

/** What a service under test stands on. */
export interface TestServiceOptions {
  /** Carries its calls to other services. Default: it makes none. */
  readonly calls?: Transport;
  /** Who holds data of people. Default: nobody. */
  readonly personalData?: PersonalDataHolders;
  /** Verifies entry passes for a service that declares it. Default: it finds all of them invalid. */
  readonly entryPasses?: EntryPasses;
  /** Replaces defaults of its settings. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** URLs of its other stores, by declared name. */
  readonly storeUrls?: Readonly<Record<string, string>>;
  /** Paths of its folders, by declared name. */
  readonly storePaths?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  /** URL of the database, for a second service on that of a first. Default: a new one. */
  readonly url?: string;
  /** Takes what it publishes beside its outbox. Default: that fails. */
  readonly broker?: EventPublisher;
  /** Where its metrics go. Default: nowhere that anybody sees. */
  readonly metrics?: MetricsRegistry;
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const observer: CallObserver = { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) };
const nobody: PersonalDataHolders = { names: [], exportFrom: () => Promise.resolve(undefined) };

const none: EntryPasses = { verify: () => Promise.resolve("invalid") };

/** Makes a service that owns one database, with its schema migrated. */
export async function startService(info: ServiceInfo, options: TestServiceOptions = {}): Promise<TestService> {
  const url = options.url ?? (await (await sharedPostgres()).createDatabase());
  const wiring = createWiring(info, url, options);
  const running: { readonly assembled: AssembledService; readonly starting: Promise<void> }[] = [];
  const start = (): TestService => {
    const assembled = assembleService(info, wiring);
    running.push({ assembled, starting: assembled.stores.start() });
    return {
      ...useService(assembled, url, wiring.clock),
      again: start,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  };
  const first = start();
  for (const { assembled, starting } of running) {
    await starting;
    await assembled.stores.migrate();
  }
  return {
    ...first,
    [Symbol.asyncDispose]: async () => {
      for (const { assembled, starting } of running) {
        await starting;
        await assembled.stores.stop();
      }
    },
  };
}

/** Connects the service to its stores and to what the test holds in its hand; events stay in its outbox. */
function createWiring(info: ServiceInfo, url: string, options: TestServiceOptions): Wiring {
  const { calls, config, storeUrls = {}, storePaths = {}, clock = systemClock } = options;
  const { personalData = nobody, entryPasses = none } = options;
  const idle = { start: () => Promise.resolve(), stop: () => Promise.resolve() };
  const publisher: EventPublisher = options.broker ?? {
    publish: () => Promise.reject(new Error("nothing is published while the relay rests")),
  };
  const defaults = Object.entries(info.config).map(([key, field]) => [key, field.default] as const);
  return {
    storeUrl: (_, store) => storeUrls[store] ?? url,
    storePath: (_, store) => {
      const path = storePaths[store];
      if (path === undefined) throw new Error(`give startService a path for the folder ${store}`);
      return path;
    },
    schemaUrl: () => url,
    grants: () => ({}),
    config: () => ({ ...Object.fromEntries(defaults), ...config }),
    transport: (_, target) => {
      if (calls === undefined) throw new Error(`${info.name} calls ${target.typeName}: give startService its calls`);
      return calls;
    },
    personalData: () => personalData,
    entryPasses,
    askers: () => [],
    consumedTopics: ({ schema }) => topicsFrom(schema, personalData.names),
    leases: { leaseholder: (lease) => ({ name: lease, ...idle }) },
    broker: publisher as Wiring["broker"], // Nothing else is asked of it before the service's work begins.
    clock,
    random: systemRandom,
    log: silent,
    metrics: options.metrics ?? createMetrics(),
    tracing: createTracing({
      endpoint: undefined,
      sampleRatio: 0,
      service: info.name,
      version: "test",
      instance: "test",
      log: silent,
    }),
  };
}

/** How a test uses a service that was put together. */
function useService(
  assembled: AssembledService,
  url: string,
  clock: Clock,
): Omit<TestService, "again" | typeof Symbol.asyncDispose> {
  const { info, stores, parts, subscriptions } = assembled;
  const { database } = stores;
  if (database === undefined) throw new Error(`${info.name} owns no database`);
  const registry = createRegistry(...info.publishes);
  const lane = createLocalLane(planMethods(assembled.running(() => true)), { observer, log: silent, clock });
  return {
    url,
    database,
    parts,
    as: (service, caller) => createClient(service, lane(caller)),
    deliver: async (event, eventId = systemRandom.uuid(), epoch = 0) => {
      const schema = info.consumes.find((consumption) => consumption.schema.typeName === event.$typeName)?.schema;
      if (schema === undefined) throw new Error(`${event.$typeName} is not consumed`);
      const { service: publisher = "test" } = event as { readonly service?: string };
      const context = { source: `/muin/${publisher}`, clock, random: systemRandom, traceparent: "" };
      const record = { ...createRecord(schema, event, context), id: eventId, epoch };
      const subscription = subscriptions.find(
        ({ topic, types }) => topic === record.topic && types.includes(record.type),
      );
      if (subscription === undefined) throw new Error(`${record.type} of ${publisher} is not consumed`);
      await subscription.handle(record, { generation: 1, attempt: 1, signal: new AbortController().signal });
    },
    events: async () => {
      const rows = await database.sql<{ type: string; data: Uint8Array }[]>`
        SELECT type, data FROM platform.outbox ORDER BY sequence`;
      return rows.map(({ type, data }) => {
        const schema = registry.getMessage(type);
        if (schema === undefined) throw new Error(`${type} is not declared`);
        return fromBinary(schema, data);
      });
    },
    republish: async (topic) => {
      const republisher = partsOf(parts, "republisher").find(({ schemas }) => topicOf(schemas[0], info.name) === topic);
      if (republisher === undefined) throw new Error(`${info.name} cannot publish ${topic} again`);
      return republisher.republish();
    },
  };
}
