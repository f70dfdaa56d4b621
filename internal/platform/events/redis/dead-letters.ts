import { MuinError } from "../../errors/muin-error.ts";
import type { EventBus, ParkedEvent } from "../event-bus.ts";
import type { Failure } from "../handle-event.ts";
import type { BusParts } from "./bus-parts.ts";
import { fieldsOf, type RawEntry, toRecord } from "./entries.ts";
import type { Group, Groups } from "./groups.ts";
import { keys, partitionOf } from "./keys.ts";
import { redriveScript } from "./scripts.ts";
import type { StreamId } from "./stream-id.ts";

/** Either part of a stream's id. */
const streamIdPartMax = 2n ** 64n - 1n;

/** Creates the view of dead letters: as in `EventBus`. Their consumers add and remove them, see `GroupPartition`. */
export function createDeadLetters(
  groups: Pick<Groups, "list">,
  { client, partitions }: Pick<BusParts, "client" | "partitions">,
): Pick<EventBus, "listParked" | "redrive"> {
  /** The oldest of one stream, after a place in the order over all streams. */
  const listStream = async (
    { service, topic, partition }: Group & { readonly partition: number },
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
    listParked: async ({ service, pageSize, pageToken }) => {
      const after = parsePageToken(pageToken);
      const found = await Promise.all(
        (await groups.list())
          .filter((group) => service === undefined || group.service === service)
          .flatMap((group) => partitions.map((partition) => listStream({ ...group, partition }, after, pageSize))),
      );
      const page = found
        .flat()
        .toSorted((a, b) => (a.order < b.order ? -1 : 1))
        .slice(0, pageSize)
        .map(({ parked }) => parked);
      const last = page.at(-1);
      return { parked: page, nextPageToken: last !== undefined && page.length === pageSize ? last.deadLetterId : "" };
    },

    redrive: async (service, subject) => {
      const own = (await groups.list()).filter((group) => group.service === service);
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
  readonly parked: ParkedEvent;
  /** Sorts as the places do. */
  readonly order: string;
}

/** A dead letter's id is its place, and the page token of what comes after it. */
function parsePageToken(token: string): Place | undefined {
  if (token === "") return undefined;
  const [, ms = "", sequence = "", key = ""] = /^(\d{1,20})-(\d{1,20}) (\S{1,400})$/.exec(token) ?? [];
  if (key !== "" && BigInt(ms) <= streamIdPartMax && BigInt(sequence) <= streamIdPartMax) {
    return { id: `${ms}-${sequence}`, key };
  }
  throw new MuinError({
    code: "invalid_argument",
    reason: "INVALID_PAGE_TOKEN",
    message: "page_token is not one that a previous page returned",
  });
}

function toFound({ service, topic }: Group, key: string, entry: RawEntry, failedAgain: string | null): Found {
  const fields = fieldsOf(entry);
  const id = entry[0].toString();
  const [ms = "", sequence = ""] = id.split("-");
  const failure = failedAgain === null ? undefined : (JSON.parse(failedAgain) as Failure);
  return {
    order: `${ms.padStart(20, "0")}-${sequence.padStart(20, "0")} ${key}`,
    parked: {
      deadLetterId: `${id} ${key}`,
      service,
      record: toRecord(topic, fields),
      reason: failure?.reason ?? fields.get("reason")?.toString() ?? "",
      attempts: failure?.attempts ?? Number(fields.get("attempts")),
      parkTimeMs: Number(ms),
    },
  };
}
