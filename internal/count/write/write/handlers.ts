import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { CountWriteService, Write } from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { itemStatusOf } from "../../../platform/rpc/call/item-status.ts";
import { placesByShard } from "../../shared/key-schema.ts";
import type { CountWriter } from "./writer.ts";
import { refusedWrite } from "../errors.ts";
import { type CountWrite, isApplied, type WriteOutcome } from "./batch.ts";
import { AppliedReply, BatchReply, type BatchResult } from "./replies.ts";

/** A caller without a deadline is answered within this. */
const deadlineMsDefault = 10_000;
/** The answer leaves so long before the caller's deadline that it still arrives. */
const deadlineMarginMs = 100;

/** Implements CountWriteService over a writer. */
export function createHandlers({
  writer,
  clock,
}: {
  readonly writer: CountWriter;
  readonly clock: Clock;
}): ServiceImpl<typeof CountWriteService> {
  const writeOne = async (
    context: HandlerContext,
    countId: string,
    kind: CountWrite["kind"],
    operand: number,
    requestId: string,
  ): Promise<AppliedReply> => {
    const write = { countId, kind, operand, requestId, principal: principalOf(context, requestId) };
    const outcomes = await writer.write(writer.shardOf(countId), [write], deadlineOf(context, clock));
    const outcome = outcomes[0] as WriteOutcome;
    if (!isApplied(outcome)) throw refusedWrite(countId, outcome);
    return new AppliedReply(countId, outcome);
  };
  return {
    increment: ({ countId, delta, requestId }, context) =>
      writeOne(context, countId, "a", Number(delta ?? 1n), requestId),
    decrement: ({ countId, delta, requestId }, context) =>
      writeOne(context, countId, "a", -Number(delta ?? 1n), requestId),
    set: ({ countId, value, requestId }, context) => writeOne(context, countId, "s", Number(value), requestId),
    batchWrite: async ({ writes }, context) => {
      const deadlineMs = deadlineOf(context, clock);
      const told: BatchResult[] = Array.from({ length: writes.length });
      const shards = placesByShard(writes, ({ countId }) => writer.shardOf(countId));
      const writeShard = async (shard: number, places: readonly number[]): Promise<void> => {
        // One part after the other: writes of one Count apply in list order.
        for (let from = 0; from < places.length; from += writer.batchMax) {
          const part = places.slice(from, from + writer.batchMax);
          const ofShard = part.map((place) => writeOf(context, writes[place] as Write));
          try {
            const outcomes = await writer.write(shard, ofShard, deadlineMs);
            for (const [index, place] of part.entries()) {
              told[place] = resultOf((ofShard[index] as CountWrite).countId, outcomes[index] as WriteOutcome);
            }
          } catch (error) {
            if (!(error instanceof MuinError)) throw error;
            const { status } = itemStatusOf(error);
            for (const place of part) told[place] = status;
          }
        }
      };
      await Promise.all([...shards].map(([shard, places]) => writeShard(shard, places)));
      return new BatchReply(
        writes.map(({ countId }) => countId),
        told,
      );
    },
  };
}

/** When a call must be answered, on the clock's monotonic scale. */
export function deadlineOf(context: HandlerContext, clock: Clock): number {
  const left = context.timeoutMs() ?? deadlineMsDefault;
  return clock.monotonic() + Math.max(left / 2, left - deadlineMarginMs);
}

/** The caller, where it matters. */
function principalOf(context: HandlerContext, requestId: string): string {
  return requestId === "" ? "" : callerOf(context).principal;
}

function writeOf(context: HandlerContext, { countId, operation, requestId }: Write): CountWrite {
  const operand = Number(operation.value ?? 0n);
  return {
    countId,
    kind: operation.case === "set" ? "s" : "a",
    operand: operation.case === "decrement" ? -operand : operand,
    requestId,
    principal: principalOf(context, requestId),
  };
}

function resultOf(countId: string, outcome: WriteOutcome): BatchResult {
  return isApplied(outcome) ? outcome : itemStatusOf(refusedWrite(countId, outcome)).status;
}
