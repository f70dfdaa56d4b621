import { createRegistry, fromBinary, toJsonString, type Registry } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { HeartbeatSchema } from "../../gen/muin/platform/v1/heartbeat_events_pb.ts";
import { OperationsService } from "../../gen/muin/platform/v1/operations_service_pb.ts";
import { publishedTopics } from "../catalog/bus-topics.ts";
import type { DeadLetter } from "../events/dead-letters.ts";
import { heartbeatTopic } from "../events/heartbeat.ts";
import { topicOf } from "../events/topics.ts";
import type { EventRecord } from "../service/event-record.ts";
import { partsOf, serve, type Served } from "../service/parts.ts";
import type { ComposedService } from "./compose-service.ts";
import { listed, runtimeErrors } from "./errors.ts";
import { listParkedEvents, redriveParkedEvents } from "./parked-events.ts";
import { readStatus, type StatusSources } from "./process-status.ts";

/** Dead letters in a page unless asked otherwise. */
const pageSizeDefault = 100;

/** Serves `OperationsService` for the services of this process. */
export function createOperations(sources: StatusSources): Served<typeof OperationsService> {
  const { services, broker } = sources;
  const registry = createRegistry(HeartbeatSchema, ...services.flatMap(({ info }) => info.publishes));
  const published = services.flatMap(({ info }) => publishedTopics(info)).map(({ name }) => name);
  const topics = new Set([heartbeatTopic.name, ...published]);
  return serve(OperationsService, {
    getStatus: async () => {
      const status = await readStatus(sources);
      return {
        ...status,
        services: [...status.services],
        stores: [...status.stores],
        outboxes: [...status.outboxes],
        consumers: [...status.consumers],
        degraded: [...status.degraded],
        notices: [...status.notices],
      };
    },
    listDeadLetters: async ({ service, pageSize, pageToken }) => {
      if (service !== "") serviceNamed(services, service);
      const { deadLetters, nextPageToken } = await broker.deadLetters.list({
        service: service === "" ? undefined : service,
        pageSize: pageSize === 0 ? pageSizeDefault : pageSize,
        pageToken,
      });
      return { nextPageToken, deadLetters: deadLetters.map(deadLetter) };
    },
    redriveDeadLetters: async ({ service, subject }) => {
      serviceNamed(services, service);
      return { redriven: BigInt(await broker.deadLetters.redrive(service, subject === "" ? undefined : subject)) };
    },
    listParkedEvents: async (request) => {
      if (request.service !== "") serviceNamed(services, request.service);
      return listParkedEvents(services, request);
    },
    redriveParkedEvents: async ({ service, subject }) => ({
      redriven: BigInt(await redriveParkedEvents(serviceNamed(services, service), subject)),
    }),
    republishEvents: async ({ topic }) => ({ republished: BigInt(await republish(services, topic)) }),
    replayEvents: async ({ service, topic }) => {
      const consumed = groupTopics(serviceNamed(services, service));
      if (!consumed.includes(topic)) throw runtimeErrors.topicNotConsumed({ service, topic, known: listed(consumed) });
      return { generation: BigInt(await broker.consumerGroups.replay(service, topic)) };
    },
    rebuildConsumer: async ({ service, topic }) => {
      const composed = serviceNamed(services, service);
      const generation = await composed.rebuild(topic);
      if (generation !== undefined) return { generation: BigInt(generation) };
      throw runtimeErrors.topicNotConsumed({ service, topic, known: listed(groupTopics(composed)) });
    },
    tailEvents: async function* ({ topic, fromStart }, { signal }) {
      if (!topics.has(topic)) throw runtimeErrors.topicNotFound({ topic, known: listed([...topics]) });
      for await (const record of broker.tail(topic, { fromStart, signal })) yield event(record, registry);
    },
  });
}

/** Has every service of this process that republishes a topic do so. Returns how many events that made. */
async function republish(services: readonly ComposedService[], topic: string): Promise<number> {
  const republishers = services.flatMap(({ info, parts }) =>
    partsOf(parts, "republisher").map((part) => ({
      topic: topicOf(part.schemas[0], info.name),
      republish: part.republish,
    })),
  );
  const ofTopic = republishers.filter((republisher) => republisher.topic === topic);
  if (ofTopic.length === 0) {
    throw runtimeErrors.topicNotRepublished({ topic, known: listed(republishers.map((other) => other.topic)) });
  }
  let republished = 0;
  for (const republisher of ofTopic) republished += await republisher.republish();
  return republished;
}

/** The topics that a service consumes as a group. */
function groupTopics({ subscriptions }: ComposedService): readonly string[] {
  return subscriptions.filter(({ kind }) => kind === "group").map(({ topic }) => topic);
}

function deadLetter({ deadLetterId, service, record, reason, attempts, parkTimeMs }: DeadLetter) {
  const { topic, id, type, subject } = record;
  return {
    deadLetterId,
    service,
    topic,
    eventId: id,
    type,
    subject,
    reason,
    attempts,
    parkTime: timestampFromMs(parkTimeMs),
  };
}

/** An event with its message as JSON; that of a newer version's message is empty, its id and type still tell. */
function event({ id, source, type, subject, timeMs, epoch, data }: EventRecord, registry: Registry) {
  const schema = registry.getMessage(type);
  const dataJson = schema === undefined ? "{}" : toJsonString(schema, fromBinary(schema, data), { registry });
  return { id, source, type, subject, time: timestampFromMs(timeMs), epoch: BigInt(epoch), dataJson };
}

function serviceNamed(services: readonly ComposedService[], name: string): ComposedService {
  const found = services.find(({ info }) => info.name === name);
  if (found !== undefined) return found;
  throw runtimeErrors.serviceNotFound({ service: name, known: listed(services.map(({ info }) => info.name)) });
}
