import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CountValueSchema } from "../../../gen/muin/count/v1/count_pb.ts";
import {
  CreateCountResponseSchema,
  type CreateCountResponse,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { Bulkhead } from "../../../platform/rpc/client/create-bulkhead.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { stateAfter, toCountInfo, type CountRecord, type Mutation } from "./plan.ts";
import { countManagementErrors } from "../errors.ts";
import type { CountChange, CountInfoStore, RequestIdentity } from "./store.ts";

/** Changes of other callers that a mutation may find in its way before it gives up. */
const attemptsMax = 32;

/** What the counts store decided of a change. It decides each info revision of a Count once and repeats its answer. */
export type Decision =
  | { readonly kind: "applied"; readonly value: bigint; readonly revision: bigint; readonly updateTimeMs: number }
  /** The new bounds do not admit the value. */
  | { readonly kind: "out_of_range"; readonly value: bigint };

/** What the saga needs. */
export interface CountChangesDeps {
  readonly store: Pick<CountInfoStore, "accept" | "announceCreation" | "complete" | "withdraw">;
  /**
   * Has the counts store decide a change, idempotent by count_id and info revision. Rejects when the outcome could not be
   * learned.
   */
  readonly decide: (change: CountChange) => Promise<Decision>;
  /** Opens a Count that was created for writes; idempotent. Rejects when the outcome could not be learned. */
  readonly activate: (change: CountChange) => Promise<void>;
  /** Rejects while the counts store cannot decide: nothing is accepted that would only wait. */
  readonly admit: (mutation: Mutation) => Promise<void>;
  /** Records the change's event in the transaction that makes it known. */
  readonly announce: (tx: Transaction, change: CountChange, record: CountRecord) => Promise<void>;
  /** Gives mutations their turn. */
  readonly turns: Bulkhead;
  readonly log: Logger;
}

/** Makes changes of Counts, each a small saga: accepted, decided by the counts store, made known. */
export interface CountChanges {
  /**
   * Makes a mutation. Resolves once it is known and its event recorded. Rejects with what refused it (nothing was changed),
   * or with UNAVAILABLE, reason OUTCOME_UNKNOWN, when it was accepted and will be finished later.
   */
  mutate(mutation: Mutation, request: RequestIdentity): Promise<CreateCountResponse>;
  /** Finishes a change that somebody began. Safe to run at the same time as others that finish it. */
  finish(change: CountChange): Promise<Decision>;
}

/**
 * The order is the guarantee: nothing reaches the counts store that CountInfoDB does not know of, nothing is known to others
 * that the counts store has not decided, and a new Count takes no write before it is known. Whoever finds a change half done
 * finishes it: a later mutation of the same Count, the same request when it comes again, or the sweeper.
 */
export function createCountChanges(deps: CountChangesDeps): CountChanges {
  const { store, log } = deps;

  const run = async (change: CountChange): Promise<{ decision: Decision; response: CreateCountResponse }> => {
    const decision = await deps.decide(change);
    const record: CountRecord = {
      ...change.content,
      countId: change.countId,
      state: stateAfter(change.operation),
      version: change.infoRevision,
      createTimeMs: change.createTimeMs,
      updateTimeMs: change.startTimeMs,
    };
    if (decision.kind !== "applied") {
      await store.withdraw(change);
      return { decision, response: create(CreateCountResponseSchema) };
    }
    const response = create(CreateCountResponseSchema, {
      countInfo: toCountInfo(record),
      value: create(CountValueSchema, {
        countId: change.countId,
        value: decision.value,
        revision: decision.revision,
        updateTime: timestampFromMs(decision.updateTimeMs),
      }),
    });
    const announce = (tx: Transaction): Promise<void> => deps.announce(tx, change, record);
    if (change.operation === "CREATE") {
      // Writes come last: a Count that takes them while it is PENDING would be there for some and not for others.
      await store.announceCreation(change, record, announce);
      await deps.activate(change);
    }
    await store.complete(change, record, announce, toBinary(CreateCountResponseSchema, response));
    return { decision, response };
  };

  const runOwn = async (change: CountChange): Promise<CreateCountResponse> => {
    let outcome;
    try {
      outcome = await run(change);
    } catch (error) {
      log.warn("a change is left to the sweeper", {
        count_id: change.countId,
        operation: change.operation,
        err: error,
      });
      throw countManagementErrors.outcomeUnknown({ count_id: change.countId }, { cause: error });
    }
    if (outcome.decision.kind === "applied") return outcome.response;
    throw countManagementErrors.boundsExcludeValue({
      count_id: change.countId,
      value: outcome.decision.value.toString(),
    });
  };

  const mutate = async (mutation: Mutation, request: RequestIdentity): Promise<CreateCountResponse> => {
    await deps.admit(mutation);
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const acceptance = await store.accept(mutation, request);
      switch (acceptance.kind) {
        case "accepted":
        case "resumed":
          return runOwn(acceptance.change);
        case "replayed":
          return fromBinary(CreateCountResponseSchema, acceptance.response);
        case "refused":
          throw acceptance.error;
        case "busy":
          await run(acceptance.change);
      }
    }
    throw countManagementErrors.countContended({ count_id: mutation.countId });
  };

  return {
    mutate: (mutation, request) => deps.turns.run(() => mutate(mutation, request)),
    finish: async (change) => (await run(change)).decision,
  };
}
