import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CountValueSchema } from "../../../gen/muin/count/v1/count_pb.ts";
import {
  CreateCountResponseSchema,
  type CreateCountResponse,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Bulkhead } from "../../../platform/rpc/client/create-bulkhead.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { countManagementErrors } from "../errors.ts";
import type { RequestIdentity, RequestStore } from "../request/store.ts";
import { planOf, type Mutation, type PlanRefusal } from "./plan.ts";
import { stateAfter, toCountInfo, type CountRecord } from "./record.ts";
import type { CountChange, InfoStore } from "./store.ts";

/** Changes of other callers that a mutation may find in its way before it gives up. */
const attemptsMax = 32;

/** What the counts store decided of a change. It decides each info revision of a Count once and repeats its answer. */
export type Decision =
  | { readonly kind: "applied"; readonly value: bigint; readonly revision: bigint; readonly updateTimeMs: number }
  /** The new bounds do not admit the value. */
  | { readonly kind: "out_of_range"; readonly value: bigint };

/** Why a mutation was not made: nothing was changed. */
export type MutationRefusal =
  | PlanRefusal
  | { readonly refused: "REQUEST_ID_REUSED" | "COUNT_CONTENDED" }
  /** The new bounds do not admit the value that there is. */
  | { readonly refused: "VALUE_OUT_OF_RANGE"; readonly value: bigint };

/** Stores, the steps outside of them, and who takes turns. */
export interface CountChangesDeps {
  readonly database: Pick<Database, "transaction">;
  readonly infos: Pick<InfoStore, "reserve" | "lock" | "save" | "changeOf" | "begin" | "end">;
  readonly requests: Pick<RequestStore, "enter" | "answer" | "remove">;
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
  readonly turns: Bulkhead;
  readonly log: Logger;
}

/** Makes changes of Counts, each a small saga: accepted, decided by the counts store, made known. */
export interface CountChanges {
  /**
   * Makes a mutation. Resolves once it is known and its event recorded, or with why it was refused. Rejects with UNAVAILABLE: reason
   * OUTCOME_UNKNOWN when it was accepted and will be finished later, any other when nothing was changed.
   */
  mutate(mutation: Mutation, request: RequestIdentity): Promise<CreateCountResponse | MutationRefusal>;
  /** Finishes a change that somebody began. Safe to run at the same time as others that finish it. */
  finish(change: CountChange): Promise<Decision>;
}

/**
 * The order is the guarantee: nothing reaches the counts store that CountInfoDB does not know of, nothing is known to others
 * that the counts store has not decided, and a new Count takes no write before it is known. Whoever finds a change half done
 * finishes it: a later mutation of the same Count, the same request when it comes again, or the sweeper.
 */
export function createCountChanges(deps: CountChangesDeps): CountChanges {
  const { database, infos, requests, log } = deps;
  const accept = acceptance(deps);

  /** Saves the Count as a change made it and records its event, unless that was done before. */
  const makeKnown = async (tx: Transaction, change: CountChange, record: CountRecord): Promise<void> => {
    if (await infos.save(tx, record)) await deps.announce(tx, change, record);
  };

  /** Makes a creation known, which stays on its way until the Count is open. */
  const announceCreation = (change: CountChange, record: CountRecord): Promise<void> =>
    database.transaction(async (tx) => {
      const underWay = await infos.changeOf(tx, change.countId);
      if (underWay?.infoRevision === change.infoRevision) await makeKnown(tx, change, record);
    });

  /** Ends a decided change, with the reply to its request, unless somebody has ended it before. */
  const complete = (change: CountChange, record: CountRecord, response: CreateCountResponse): Promise<void> =>
    database.transaction(async (tx) => {
      const request = await infos.end(tx, change);
      if (request === undefined) return;
      await makeKnown(tx, change, record);
      if (request.requestId === "") return;
      await requests.answer(tx, request, toBinary(CreateCountResponseSchema, response));
    });

  /** Forgets a change that the counts store refused, and its request. */
  const withdraw = (change: CountChange): Promise<void> =>
    database.transaction(async (tx) => {
      const request = await infos.end(tx, change);
      if (request !== undefined && request.requestId !== "") await requests.remove(tx, request);
    });

  const run = async (change: CountChange): Promise<{ decision: Decision; response: CreateCountResponse }> => {
    const decision = await deps.decide(change);
    if (decision.kind !== "applied") {
      await withdraw(change);
      return { decision, response: create(CreateCountResponseSchema) };
    }
    const record = recordAfter(change);
    const response = responseOf(record, decision);
    if (change.operation === "CREATE") {
      // Writes come last: a Count that takes them while it is PENDING would be there for some and not for others.
      await announceCreation(change, record);
      await deps.activate(change);
    }
    await complete(change, record, response);
    return { decision, response };
  };

  const runOwn = async (change: CountChange): Promise<CreateCountResponse | MutationRefusal> => {
    const { countId, operation } = change;
    try {
      const { decision, response } = await run(change);
      return decision.kind === "applied" ? response : { refused: "VALUE_OUT_OF_RANGE", value: decision.value };
    } catch (error) {
      log.warn("a change is left to the sweeper", { count_id: countId, operation, err: error });
      throw countManagementErrors.outcomeUnknown({ count_id: countId }, { cause: error });
    }
  };

  const mutate: CountChanges["mutate"] = async (mutation, request) => {
    await deps.admit(mutation);
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const acceptance = await accept(mutation, request);
      switch (acceptance.kind) {
        case "accepted":
        case "resumed":
          return runOwn(acceptance.change);
        case "answered":
          return acceptance.response;
        case "refused":
          return acceptance.refusal;
        case "busy":
          await run(acceptance.change);
      }
    }
    return { refused: "COUNT_CONTENDED" };
  };

  return {
    mutate: (mutation, request) => deps.turns.run(() => mutate(mutation, request)),
    finish: async (change) => (await run(change)).decision,
  };
}

/** What came of accepting a mutation. */
type Acceptance =
  /** It is on its way. */
  { readonly kind: "accepted"; readonly change: CountChange } | NotAccepted;

/** The mutation was not accepted: nothing is recorded of it. */
type NotAccepted =
  /** An earlier change of the Count has to be finished first. */
  | { readonly kind: "busy"; readonly change: CountChange }
  /** There is nothing to do: the same request was answered before, or the Count would stay as it is. */
  | { readonly kind: "answered"; readonly response: CreateCountResponse }
  /** The same request was accepted before, and its change is still on its way. */
  | { readonly kind: "resumed"; readonly change: CountChange }
  | { readonly kind: "refused"; readonly refusal: PlanRefusal | { readonly refused: "REQUEST_ID_REUSED" } };

/** Decides a mutation on the locked Count and, when it is allowed, records its change, in one transaction. */
function acceptance({ database, infos, requests }: CountChangesDeps) {
  /** Enters the request. Returns what is known of it when it came before. */
  const enter = async (
    tx: Transaction,
    request: RequestIdentity,
    countId: string,
  ): Promise<NotAccepted | undefined> => {
    if (request.requestId === "") return undefined;
    const known = await requests.enter(tx, request, countId);
    if (known === undefined) return undefined;
    if (!Buffer.from(known.fingerprint).equals(request.fingerprint)) {
      return { kind: "refused", refusal: { refused: "REQUEST_ID_REUSED" } };
    }
    if (known.response !== undefined) {
      return { kind: "answered", response: fromBinary(CreateCountResponseSchema, known.response) };
    }
    const change = await infos.changeOf(tx, known.countId);
    // A request without a reply has its change beside it: both come and go in the same transactions.
    if (change === undefined) throw new Error(`request of Count ${known.countId} has neither reply nor change`);
    return { kind: "resumed", change };
  };

  return async (mutation: Mutation, request: RequestIdentity): Promise<Acceptance> => {
    const { countId, operation } = mutation;
    try {
      return await database.transaction<Acceptance>(async (tx) => {
        // First come: a second creator waits here until the first one's row is there, then finds it below.
        if (operation === "CREATE") await infos.reserve(tx, countId);
        const { record, infoRevision } = await infos.lock(tx, countId);
        const known = await enter(tx, request, countId);
        if (known !== undefined) throw new RolledBack(known);
        const underWay = record === undefined ? undefined : await infos.changeOf(tx, countId);
        if (underWay !== undefined && record?.state !== "PENDING") {
          throw new RolledBack({ kind: "busy", change: underWay });
        }
        const plan = planOf(record, mutation);
        if ("refused" in plan) throw new RolledBack({ kind: "refused", refusal: plan });
        if ("unchanged" in plan) {
          const response = create(CreateCountResponseSchema, { countInfo: toCountInfo(plan.unchanged) });
          throw new RolledBack({ kind: "answered", response });
        }
        const change = await infos.begin(tx, {
          countId,
          infoRevision: infoRevision + 1,
          operation,
          content: plan.content,
          initialValue: mutation.operation === "CREATE" ? mutation.initialValue : undefined,
          stateMeanwhile: plan.stateMeanwhile,
          request,
        });
        return { kind: "accepted", change };
      });
    } catch (error) {
      if (error instanceof RolledBack) return error.outcome;
      throw error;
    }
  };
}

/** Takes back what the transaction of an acceptance has reserved, and carries what came of it. */
class RolledBack extends Error {
  readonly outcome: NotAccepted;

  constructor(outcome: NotAccepted) {
    super(`not accepted: ${outcome.kind}`);
    this.outcome = outcome;
  }
}

/** The Count once the change is made. */
function recordAfter(change: CountChange): CountRecord {
  return {
    ...change.content,
    countId: change.countId,
    state: stateAfter(change.operation),
    version: change.infoRevision,
    createTimeMs: change.createTimeMs,
    updateTimeMs: change.startTimeMs,
  };
}

function responseOf(
  record: CountRecord,
  { value, revision, updateTimeMs }: Extract<Decision, { kind: "applied" }>,
): CreateCountResponse {
  return create(CreateCountResponseSchema, {
    countInfo: toCountInfo(record),
    value: create(CountValueSchema, {
      countId: record.countId,
      value,
      revision,
      updateTime: timestampFromMs(updateTimeMs),
    }),
  });
}
