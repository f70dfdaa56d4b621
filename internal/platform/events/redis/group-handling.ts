import type { HeldLease } from "../../lease/redis/candidacy.ts";
import type { EventRecord } from "../../service/event-record.ts";
import type { Subscription } from "../broker.ts";
import { type Failure, handleEvent } from "../handle-event.ts";
import { handleInOrder } from "../handle-in-order.ts";
import { TurnOverError } from "../turn.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type { PlacedEvent } from "./entries.ts";
import type { GroupPartition } from "./group-partition.ts";

/** Events that are handled together, where the subscriber can. */
export const togetherMax = 256;

/** How a consumer group handles events of one partition while it holds the lease. */
export interface GroupHandling {
  /** Handles events that follow the position, parks what keeps failing, and moves the position behind them. */
  handle(events: readonly PlacedEvent[]): Promise<void>;
  /** Handles one event by itself; resolves with why it was given up on. */
  readonly tryOne: (record: EventRecord) => Promise<Failure | undefined>;
}

/** Creates the handling of one turn: `own` is the partition's state, `held` its lease. */
export function createGroupHandling(
  turn: { readonly subscription: Subscription; readonly own: GroupPartition; readonly held: HeldLease },
  { clock, random, log, meters }: Pick<BrokerParts, "clock" | "random" | "log" | "meters">,
): GroupHandling {
  const { subscription, own, held } = turn;
  const { service, topic } = subscription;
  const types = new Set(subscription.types);

  const tryOne = (record: EventRecord): Promise<Failure | undefined> =>
    handleEvent(subscription, record, { generation: own.generation, turn: held }, { clock, random, log, meters });

  /** Handles together what can be; returns what is left, from the first that could not. */
  const handleTogether = async (events: readonly PlacedEvent[]): Promise<readonly PlacedEvent[]> => {
    // An event behind a parked one of its key must be parked too.
    if (subscription.handleTogether === undefined || own.hasWaiting()) return events;
    for (let from = 0; from < events.length; from += togetherMax) {
      if (!held.isValid()) throw new TurnOverError();
      const some = events.slice(from, from + togetherMax);
      const wanted = some.map(({ record }) => record).filter(({ type }) => types.has(type));
      try {
        if (wanted.length > 0) {
          const delivery = { generation: own.generation, attempt: 1, signal: held.signal };
          await subscription.handleTogether(wanted, delivery);
        }
      } catch (error) {
        if (held.signal.aborted) throw new TurnOverError();
        log.debug("events are handled one by one, since they could not be together", { err: error });
        return events.slice(from);
      }
      meters.handled.add(wanted.length, { service, topic });
      const last = some.at(-1);
      if (last !== undefined) await own.moveTo(last);
    }
    return [];
  };

  return {
    tryOne,
    handle: async (events) => {
      await handleInOrder(await handleTogether(events), {
        isWanted: ({ record }) => types.has(record.type),
        handle: async (event) => {
          if (subscription.onFailure === "parkKey" && own.isWaiting(event.record.subject)) {
            await own.park(event, { reason: "waits behind an earlier event of its key", attempts: 0 });
            return;
          }
          const failure = await tryOne(event.record);
          if (failure !== undefined) await own.park(event, failure);
        },
        progress: (last) => own.moveTo(last),
        clock,
      });
    },
  };
}
