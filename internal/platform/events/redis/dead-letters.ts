import { resourceErrors } from "../../resource/errors.ts";
import { afterOf, pageTokenOf } from "../../resource/page-token.ts";
import type { DeadLetter, DeadLetters } from "../dead-letters.ts";
import type { Failure } from "../handle-event.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type { ConsumerGroup, RedisConsumerGroups } from "./consumer-groups.ts";
import { fieldsOf, type RawEntry, toRecord } from "./entries.ts";
import { keys, partitionOf } from "./keys.ts";
import { redriveScript } from "./scripts.ts";
import type { StreamId } from "./stream-id.ts";

/** Either part of a stream's id. */
const streamIdPartMax = 2n ** 64n - 1n;

/** Creates the view of dead letters. Their consumers add and remove them, see `GroupPartition`. */
export function createDeadLetters(
  groups: Pick<RedisConsumerGroups, "list">,
  { client, partitions }: Pick<BrokerParts, "client" | "partitions">,
): DeadLetters {
  /** The oldest of one stream, after a place in the order over all streams. */
  const listStream = async (
    { service, topic, partition }: ConsumerGroup & { readonly partition: number },
    after: Place | undefined,
    pageSize: number,
  ): Promise<readonly Found[]> => {
    const key = keys.parked(service, topic, partition);
    // Ids of different streams can be equal: the name decides between them.
    const from = after === undefined ? "-" : key > after.key ? after.id : `(${after.id}`;
    const entries = await client.xrangeBuffer(key, from, "+", "COUNT", pageSize);
    if (entries.length === 0) return [];
    const again = await client.hmget(
      keys.parkedKeys(service, topic, partition),
      ...entries.map(([id]) => `f${id.toString()}`),
    );
    return entries.map((entry, index) => toFound({ service, topic }, key, entry, again[index] ?? null));
  };

  return {
    list: async ({ service, pageSize, pageToken }) => {
      const query = ["dead letters", service ?? ""];
      const after = placeOf(afterOf(query, pageToken));
      const found = await Promise.all(
        (await groups.list(service)).flatMap((group) =>
          partitions.map((partition) => listStream({ ...group, partition }, after, pageSize)),
        ),
      );
      const page = found
        .flat()
        .toSorted((a, b) => (a.order < b.order ? -1 : 1))
        .slice(0, pageSize)
        .map(({ deadLetter }) => deadLetter);
      const last = page.at(-1);
      const hasMore = last !== undefined && page.length === pageSize;
      return { deadLetters: page, nextPageToken: hasMore ? pageTokenOf(query, last.deadLetterId) : "" };
    },

    redrive: async (service, subject) => {
      const own = await groups.list(service);
      const which = subject === undefined ? partitions : [partitionOf(subject, partitions.length)];
      const counts = await Promise.all(
        own.flatMap(({ topic }) =>
          which.map((partition) => {
            const keyList = [
              keys.parkedKeys(service, topic, partition),
              keys.redriven(service, topic, partition),
              keys.group(service, topic),
            ];
            return redriveScript.run(client, keyList, [partition, subject ?? ""]);
          }),
        ),
      );
      return counts.reduce((sum, count) => sum + count, 0);
    },
  };
}

/** A place in the order over all streams of dead letters: by id, then by the stream's name. */
interface Place {
  readonly id: StreamId;
  readonly key: string;
}

interface Found {
  readonly deadLetter: DeadLetter;
  /** Sorts as the places do. */
  readonly order: string;
}

/** The place that a dead letter's id names; undefined for an empty one. Throws INVALID_ARGUMENT for what is no such id. */
function placeOf(deadLetterId: string): Place | undefined {
  if (deadLetterId === "") return undefined;
  const [, ms = "", sequence = "", key = ""] = /^(\d{1,20})-(\d{1,20}) (\S{1,400})$/.exec(deadLetterId) ?? [];
  if (key !== "" && BigInt(ms) <= streamIdPartMax && BigInt(sequence) <= streamIdPartMax) {
    return { id: `${ms}-${sequence}`, key };
  }
  throw resourceErrors.pageTokenInvalid();
}

function toFound({ service, topic }: ConsumerGroup, key: string, entry: RawEntry, failedAgain: string | null): Found {
  const fields = fieldsOf(entry);
  const id = entry[0].toString();
  const [ms = "", sequence = ""] = id.split("-");
  const failure = failedAgain === null ? undefined : (JSON.parse(failedAgain) as Failure);
  return {
    order: `${ms.padStart(20, "0")}-${sequence.padStart(20, "0")} ${key}`,
    deadLetter: {
      deadLetterId: `${id} ${key}`,
      service,
      record: toRecord(topic, fields),
      reason: failure?.reason ?? fields.get("reason")?.toString() ?? "",
      attempts: failure?.attempts ?? Number(fields.get("attempts")),
      parkTimeMs: Number(ms),
    },
  };
}
