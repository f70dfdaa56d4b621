import type { DescMessage } from "@bufbuild/protobuf";
import { heartbeatTopic } from "../events/heartbeat.ts";
import { topicOf, topicsFrom, topicsOf, type Topic } from "../events/topics.ts";
import { revocationSchemas } from "../identity/revocation-feed.ts";
import type { Consumption } from "../service/consumption.ts";
import type { ServiceInfo } from "../service/define-service.ts";

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
  ];
  return { services: services.map(({ name }) => name), writes: sorted(writes), reads: sorted(reads) };
}

/** The topics on which a service publishes, each once, by name. */
export function publishedTopics({ name, publishes }: Pick<ServiceInfo, "name" | "publishes">): readonly Topic[] {
  return topicsOf(publishes, name);
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
