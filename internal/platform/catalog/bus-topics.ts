import type { DescMessage } from "@bufbuild/protobuf";
import { RepublishRequestedSchema } from "../../gen/muin/platform/v1/republish_events_pb.ts";
import { heartbeatTopic } from "../events/heartbeat.ts";
import { isState, topicOf, topicsFrom, topicsOf, type Topic } from "../events/topics.ts";
import { revocationSchemas } from "../identity/revocation-feed.ts";
import type { Consumption } from "../service/consumption.ts";
import type { ServiceInfo } from "../service/define-service.ts";

/** Topics on which several services publish, on purpose; on every other one does, so that none can forge what another says. */
export const sharedTopics: Readonly<Record<string, readonly string[]>> = { "identity.user": ["auth", "user"] };

/** What a process reads and writes on the bus. */
export interface BusUse {
  /** Services that run in it: their consumer groups and leases are its own. */
  readonly services: readonly string[];
  /** Names of the topics on which it publishes, in order. */
  readonly writes: readonly string[];
  /** Names of the topics that it reads, in order. */
  readonly reads: readonly string[];
}

/** What the process of some services of a catalogue reads and writes on the bus, what every process does there included. */
export function busUse(services: readonly ServiceInfo[], catalog: readonly ServiceInfo[]): BusUse {
  const writes = [heartbeatTopic, ...services.flatMap(publishedTopics)].map(({ name }) => name);
  const reads = [
    heartbeatTopic.name,
    ...revocationSchemas.map((schema) => topicOf(schema)),
    ...services.flatMap(({ consumes }) => consumes.flatMap((consumption) => consumedTopics(consumption, catalog))),
    ...services.flatMap((info) => topicsFrom(RepublishRequestedSchema, askersOf(info, catalog))),
  ];
  return { services: services.map(({ name }) => name), writes: sorted(writes), reads: sorted(reads) };
}

/** The topics on which a service publishes, its requests for the state of others included, each once, by name. */
export function publishedTopics(info: ServiceInfo): readonly Topic[] {
  return topicsOf(publishedBy(info), info.name);
}

/** The messages that a service publishes: those that it declares, and its requests for the state of others. */
export function publishedBy({ publishes, consumes }: ServiceInfo): readonly DescMessage[] {
  const asks = consumes.some(({ schema, kind }) => kind === "group" && isState(schema));
  return asks ? [...publishes, RepublishRequestedSchema] : publishes;
}

/** Names of the services of a catalogue that ask `owner` for its state again, since they consume it as a group; in its order. */
export function askersOf({ publishes, republishes }: ServiceInfo, catalog: readonly ServiceInfo[]): readonly string[] {
  if (republishes.length === 0) return [];
  const types = new Set(publishes.map(({ typeName }) => typeName));
  return catalog
    .filter(({ consumes }) =>
      consumes.some(({ schema, kind }) => kind === "group" && isState(schema) && types.has(schema.typeName)),
    )
    .map(({ name }) => name);
}

/** Names of the topics on which a consumed message comes. */
export function consumedTopics(
  { schema, publishedBy }: Consumption,
  catalog: readonly ServiceInfo[],
): readonly string[] {
  return topicsFrom(schema, publishedBy === undefined ? publishersOf(schema, catalog) : [publishedBy]);
}

/** Names of the services of a catalogue that publish a message, in its order. */
export function publishersOf(schema: DescMessage, catalog: readonly ServiceInfo[]): readonly string[] {
  return catalog
    .filter(({ publishes }) => publishes.some(({ typeName }) => typeName === schema.typeName))
    .map(({ name }) => name);
}

function sorted(names: readonly string[]): readonly string[] {
  return [...new Set(names)].toSorted();
}
