import { createRegistry, fromBinary, toJsonString, type DescMessage } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { OperationsService } from "../../gen/muin/platform/v1/operations_service_pb.ts";
import { HeartbeatSchema } from "../../gen/muin/platform/v1/heartbeat_events_pb.ts";
import type { Clock } from "../clock/clock.ts";
import { MuinError } from "../errors/muin-error.ts";
import type { EventBus } from "../events/event-bus.ts";
import type { EventRecord } from "../service/event-record.ts";
import { topicOf } from "../events/topics.ts";
import type { LocalStoresStatus } from "../local/local-stores.ts";
import type { ComposedService } from "./compose-service.ts";
import { serve, type Served } from "../service/parts.ts";
import { version } from "../config/version.ts";
import { within } from "../lifecycle/within.ts";

/** Dead letters in a page unless asked otherwise. */
const pageSizeDefault = 100;

/** How long an outbox or the bus may take to say how it is, in milliseconds. */
const lookMsMax = 1000;

/** The state of the process, gathered at once for the RPC and the status page. */
export interface ProcessStatus {
  readonly version: string;
  readonly ready: boolean;
  readonly services: readonly { readonly name: string; readonly ready: boolean; readonly detail: string }[];
  readonly stores: readonly StoreStatus[];
  readonly outboxes: readonly { readonly service: string; readonly depth: bigint; readonly ageMs: bigint }[];
  readonly consumers: readonly {
    readonly service: string;
    readonly topic: string;
    readonly lag: bigint;
    readonly deadLetters: bigint;
    readonly lost: boolean;
  }[];
}

interface StoreStatus {
  readonly name: string;
  readonly kind: string;
  readonly reachable: boolean;
  readonly detail: string;
}

/** What the operations service looks at. */
export interface OperationsDeps {
  readonly services: readonly ComposedService[];
  readonly bus: EventBus;
  /** The servers that this process started; absent when it started none. */
  readonly localStores: (() => Promise<LocalStoresStatus>) | undefined;
  readonly clock: Pick<Clock, "sleep">;
}

/** Gathers the state of the process. What does not answer within a second is left out. */
export async function readStatus({ services, bus, localStores, clock }: OperationsDeps): Promise<ProcessStatus> {
  const local = await localStores?.();
  const [readiness, stores, outboxes, consumers] = await Promise.all([
    Promise.all(services.map((service) => service.readiness())),
    Promise.all(services.flatMap(({ info, stores }) => stores.map((store) => probe(info.name, store, local)))),
    Promise.all(
      services.flatMap(({ info, outboxes }) =>
        outboxes.map(async (outbox) => {
          const state = await within(clock, lookMsMax, outbox.read()); // Its store is away: said under `stores`.
          return state === undefined
            ? []
            : [{ service: info.name, depth: BigInt(state.depth), ageMs: BigInt(Math.round(state.ageMs)) }];
        }),
      ),
    ),
    within(clock, lookMsMax, bus.consumerStates()),
  ]);
  const events = storeStatus(
    { name: "events", kind: "redis", server: "redis events" },
    consumers === undefined ? "does not answer" : undefined,
    local,
  );
  return {
    version,
    ready: readiness.every((detail) => detail === undefined),
    services: services.map(({ info }, index) => ({
      name: info.name,
      ready: readiness[index] === undefined,
      detail: readiness[index] ?? "",
    })),
    stores: [...stores, events].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    outboxes: outboxes.flat(),
    consumers: (consumers ?? []).map((consumer) => ({
      service: consumer.service,
      topic: consumer.topic,
      lag: BigInt(consumer.lag),
      deadLetters: BigInt(consumer.deadLetters),
      lost: consumer.lost,
    })),
  };
}

/** Serves `OperationsService` for the services of this process. */
export function createOperations(deps: OperationsDeps): Served {
  const { services, bus } = deps;
  const messages = [HeartbeatSchema, ...services.flatMap(({ info }) => info.publishes)];
  const registry = createRegistry(...messages);
  const topics = new Set(messages.map((schema) => topicOf(schema)));
  const impl: ServiceImpl<typeof OperationsService> = {
    getStatus: async () => {
      const status = await readStatus(deps);
      return {
        ...status,
        services: [...status.services],
        stores: [...status.stores],
        outboxes: [...status.outboxes],
        consumers: [...status.consumers],
      };
    },
    listDeadLetters: async (request) => {
      const { parked, nextPageToken } = await bus.listParked({
        service: request.service === "" ? undefined : request.service,
        pageSize: request.pageSize === 0 ? pageSizeDefault : request.pageSize,
        pageToken: request.pageToken,
      });
      return {
        nextPageToken,
        deadLetters: parked.map((event) => ({
          deadLetterId: event.deadLetterId,
          service: event.service,
          topic: event.record.topic,
          eventId: event.record.id,
          type: event.record.type,
          subject: event.record.subject,
          reason: event.reason,
          attempts: event.attempts,
          parkTime: timestampFromMs(event.parkTimeMs),
        })),
      };
    },
    redriveDeadLetters: async ({ service, subject }) => {
      serviceNamed(services, service);
      return { redriven: BigInt(await bus.redrive(service, subject === "" ? undefined : subject)) };
    },
    republishEvents: async ({ topic }) => {
      const republishers = services
        .flatMap((service) => service.republishers)
        .filter((one) => topicOf(one.schemas[0]) === topic);
      if (republishers.length === 0) {
        const known = services.flatMap((service) => service.republishers.map((one) => topicOf(one.schemas[0])));
        throw notFound("TOPIC_NOT_FOUND", `no service here republishes "${topic}": ${list(known)}`);
      }
      let republished = 0;
      for (const one of republishers) republished += await one.republish();
      return { republished: BigInt(republished) };
    },
    replayEvents: async ({ service, topic }) => {
      const { info } = serviceNamed(services, service);
      const consumed = info.consumes.filter(({ kind }) => kind === "group").map(({ schema }) => topicOf(schema));
      if (!consumed.includes(topic)) {
        throw notFound("TOPIC_NOT_FOUND", `${service} does not consume "${topic}" as a group: ${list(consumed)}`);
      }
      return { generation: BigInt(await bus.replay(service, topic)) };
    },
    tailEvents: async function* ({ topic, fromStart }, context: HandlerContext) {
      if (!topics.has(topic)) throw notFound("TOPIC_NOT_FOUND", `there is no topic "${topic}": ${list([...topics])}`);
      for await (const record of bus.tail(topic, { fromStart, signal: context.signal })) {
        yield {
          id: record.id,
          source: record.source,
          type: record.type,
          subject: record.subject,
          time: timestampFromMs(record.timeMs),
          dataJson: json(registry.getMessage(record.type), record),
        };
      }
    },
  };
  return serve(OperationsService, impl);

  function json(schema: DescMessage | undefined, record: EventRecord): string {
    if (schema === undefined) return "{}"; // A newer version's message: its id and type still tell.
    return toJsonString(schema, fromBinary(schema, record.data), { registry });
  }
}

async function probe(
  service: string,
  store: ComposedService["stores"][number],
  local: LocalStoresStatus | undefined,
): Promise<StoreStatus> {
  const problem = await store.probe();
  const { decl } = store;
  const server = decl.kind === "postgres" ? "postgres" : `redis ${decl.server}`;
  return storeStatus({ name: `${service}/${store.name}`, kind: decl.kind, server }, problem, local);
}

function storeStatus(
  { name, kind, server }: { readonly name: string; readonly kind: string; readonly server: string },
  problem: string | undefined,
  local: LocalStoresStatus | undefined,
): StoreStatus {
  const lastError = local?.stores.find((store) => store.name === server)?.lastError;
  const fullDisk = local?.disk.full === true ? `the disk of ${local.disk.path} is full` : undefined;
  const details = problem === undefined ? [fullDisk] : [problem, lastError, fullDisk];
  return {
    name,
    kind,
    reachable: problem === undefined,
    detail: details.filter((detail) => detail !== undefined).join("; "),
  };
}

function serviceNamed(services: readonly ComposedService[], name: string): ComposedService {
  const found = services.find(({ info }) => info.name === name);
  if (found !== undefined) return found;
  throw notFound("SERVICE_NOT_FOUND", `no service "${name}" runs here: ${list(services.map(({ info }) => info.name))}`);
}

function notFound(reason: string, message: string): MuinError {
  return new MuinError({ code: "not_found", reason, message });
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "there is none" : `there is ${[...new Set(names)].toSorted().join(", ")}`;
}
