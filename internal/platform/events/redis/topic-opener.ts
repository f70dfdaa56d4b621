import type { Redis } from "ioredis";
import type { Logger } from "../../telemetry/logger.ts";
import { eventErrors } from "../errors.ts";
import { isKeySpoilt } from "./key-errors.ts";
import { keys } from "./keys.ts";
import { openScript } from "./scripts.ts";

interface TopicOpenerDeps {
  readonly client: Redis;
  /** What this process believes. */
  readonly partitions: number;
  /** Names of the topics on which this process publishes. */
  readonly written: ReadonlySet<string>;
  /** Names of the topics on which several services publish. */
  readonly shared: ReadonlySet<string>;
  readonly log: Logger;
}

/**
 * Creates what makes sure that a topic has as many partitions as this process believes. The number stands in the topic's hash, which only
 * who publishes on it may write, and is recorded by the first of them. It rejects where it is another one; of a shared topic, where it may be the word
 * of any of several accounts, that is a notice in the log, once.
 */
export function createTopicOpener({ client, partitions, written, shared, log }: TopicOpenerDeps) {
  const opened = new Set<string>(); // Of a catalogue's topics: bounded by it.
  /** The recorded number; `undefined` while nobody published on the topic. */
  const recordedOf = async (topic: string): Promise<number | undefined> => {
    if (client.status === "wait") await client.connect().catch(() => undefined); // The calls below say so.
    if (written.has(topic)) return openScript.run(client, [keys.topic(topic)], [partitions, keys.meta]);
    const found = (await client.hget(keys.topic(topic), "partitions")) ?? (await client.hget(keys.meta, "partitions"));
    return found === null ? undefined : Number(found);
  };
  return async (topic: string): Promise<void> => {
    if (opened.has(topic)) return;
    const isShared = shared.has(topic);
    const recorded = await recordedOf(topic).catch((error: unknown) => {
      if (!isShared || !isKeySpoilt(error)) throw error;
      return 0;
    });
    if (recorded === undefined) return;
    if (recorded !== partitions) {
      if (!isShared) throw eventErrors.eventsPartitions({ recorded: String(recorded), given: String(partitions) });
      if (!opened.has(topic))
        log.warn("what the event store says of a topic's partitions is not heeded", { topic, recorded, partitions });
    }
    opened.add(topic);
  };
}
