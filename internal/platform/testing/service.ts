import { createRegistry, fromBinary, type DescService, type Message } from "@bufbuild/protobuf";
import { createClient, type Client } from "@connectrpc/connect";
import { topicOf } from "../events/topics.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { Delivery } from "../service/delivery.ts";
import { partsOf, type Handled, type Served, type ServicePart } from "../service/parts.ts";
import { systemClock, type Clock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { once } from "../events/inbox.ts";
import { createPublish } from "../events/outbox.ts";
import type { Caller } from "../identity/caller.ts";
import { migrate } from "../postgres/migrate.ts";
import { openDatabase, type OpenDatabase } from "../postgres/open-database.ts";
import { planMethods } from "../rpc/call/plan.ts";
import { createLocalLane } from "../rpc/local/lane.ts";
import { createMetrics } from "../telemetry/create-metrics.ts";
import type { Logger } from "../telemetry/logger.ts";
import { sharedPostgres } from "./postgres.ts";

/** A service in this process, on a PostgreSQL database of its own, without background work. */
export interface TestService extends AsyncDisposable {
  /** The database's URL, for another process. */
  readonly url: string;
  readonly database: OpenDatabase;
  readonly parts: readonly ServicePart[];
  /** Calls as somebody: policy, validation and errors as over the network. */
  as<S extends DescService>(service: S, caller: Caller): Client<S>;
  /** Hands an event to its handler, as the bus does; `eventId` is new unless given. */
  deliver(event: Message, eventId?: string): Promise<void>;
  /** Events in the order in which they were recorded. */
  events(): Promise<readonly Message[]>;
  /** Records the state of a topic again; returns how many. */
  republish(topic: string): Promise<number>;
  /** The same service started once more: it remembers nothing, and has the same database. Goes with the first one. */
  again(): TestService;
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

/** Makes a service that owns one database. `calls` are its clients of other services; `config` replaces defaults of its settings. */
export async function startService(
  info: ServiceInfo,
  options: {
    readonly calls?: Readonly<Record<string, unknown>>;
    readonly config?: Readonly<Record<string, unknown>>;
    readonly clock?: Clock;
  } = {},
): Promise<TestService> {
  const [name, store] = Object.entries(info.stores).find(([, { kind }]) => kind === "postgres") ?? [];
  if (name === undefined || store?.kind !== "postgres" || store.access !== "owner") {
    throw new Error(`${info.name} owns no database`);
  }
  const url = await (await sharedPostgres()).createDatabase();
  await migrate({ url, migrations: store.migrations, log: silent });
  const database = openDatabase({ url, poolMax: 8, applicationName: `test of ${info.name}` });
  const clock = options.clock ?? systemClock;
  const source = `/muin/${info.name}`;
  const defaults = Object.entries(info.config).map(([key, field]) => [key, field.default] as const);
  const create = (): readonly ServicePart[] =>
    info.create({
      stores: { [name]: database },
      calls: (options.calls ?? {}) as never,
      publish: createPublish({ source, clock, random: systemRandom, currentTraceparent: () => "" }) as never,
      bus: {
        publish: () => Promise.reject(new Error(`${info.name} publishes through its outbox`)),
        leaseholder: () => ({ name: "none", start: () => Promise.resolve(), stop: () => Promise.resolve() }),
      },
      config: { ...Object.fromEntries(defaults), ...options.config },
      clock,
      random: systemRandom,
      log: silent,
      metrics: createMetrics(),
    });
  const registry = createRegistry(...info.publishes);
  const observer = { begin: () => ({ traceparent: undefined, end: () => {}, run: <T>(work: () => T): T => work() }) };

  const made = (parts: readonly ServicePart[], stop: () => Promise<void>): TestService => ({
    url,
    database,
    parts,
    as: (service, caller) => {
      const served = parts.filter((part): part is Served => part.part === "served");
      return createClient(service, createLocalLane(planMethods(served), { observer, log: silent, clock })(caller));
    },
    deliver: async (event, eventId = systemRandom.uuid()) => {
      const isOf = (part: ServicePart): part is Handled =>
        part.part === "handled" && part.schema.typeName === event.$typeName;
      const handled = parts.find(isOf);
      if (handled === undefined) throw new Error(`${event.$typeName} is not consumed`);
      const key = { consumer: info.name, generation: 1, eventId };
      const delivery: Delivery = {
        record: undefined as never, // Not looked at.
        attempt: 1,
        signal: new AbortController().signal,
        once: (into, effect) => once(into, key, effect),
      };
      await handled.handle(event, delivery);
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
      const republisher = partsOf(parts, "republisher").find(({ schemas }) => topicOf(schemas[0]) === topic);
      if (republisher === undefined) throw new Error(`${info.name} cannot publish ${topic} again`);
      return republisher.republish();
    },
    again: () => made(create(), () => Promise.resolve()),
    [Symbol.asyncDispose]: stop,
  });
  return made(create(), () => database.stop());
}
