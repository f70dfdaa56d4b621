import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CreateCountResponseSchema,
  type CreateCountResponse,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Bulkhead } from "../../../platform/rpc/client/create-bulkhead.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { countManagementErrors } from "../errors.ts";
import type { RequestIdentity, RequestStore } from "../request/store.ts";
import { type Decision, recordAfter, responseOf } from "./change-result.ts";
import type { Creations } from "./creations.ts";
import { planOf, type Mutation, type PlanRefusal } from "./plan.ts";
import { toCountInfo, type CountRecord } from "./record.ts";
import type { CountChange, InfoStore } from "./store.ts";

/** Changes of other callers that a mutation may find in its way before it gives up. */
const attemptsMax = 32;

/** Why a mutation was not made: nothing was changed. */
export type MutationRefusal =
  | PlanRefusal
  | { readonly refused: "REQUEST_ID_REUSED" | "COUNT_CONTENDED" }
  /** The new bounds do not admit the value that there is. */
  | { readonly refused: "VALUE_OUT_OF_RANGE"; readonly value: bigint };

/** Stores, the steps outside of them, and who takes turns. */
export interface CountChangesDeps {
  readonly database: Pick<Database, "transaction">;
  readonly infos: Pick<InfoStore, "lock" | "save" | "changeOf" | "begin" | "end">;
  readonly requests: Pick<RequestStore, "enter" | "answer" | "remove">;
  /**
   * Has the counts store decide a change, idempotent by count_id and info revision. Rejects when the outcome could not be
   * learned.
   */
  readonly decide: (change: CountChange) => Promise<Decision>;
  /** Finish creations. */
  readonly creations: Pick<Creations, "finish">;
  /** Rejects while the counts store cannot decide: nothing is accepted that would only wait. */
  readonly admit: (countId: string) => Promise<void>;
  /** Records the change's event in the transaction that makes it known. */
  readonly announce: (tx: Transaction, change: CountChange, record: CountRecord) => Promise<void>;
  readonly turns: Bulkhead;
  readonly log: Logger;
}

/** Makes changes of Counts that there are, each a small saga: accepted, decided by the counts store, made known. */
export interface CountChanges {
  /**
   * Makes a mutation. Resolves once it is known and its event recorded, or with why it was refused. Rejects with UNAVAILABLE: reason
   * OUTCOME_UNKNOWN when it was accepted and will be finished later, any other when nothing was changed.
   */
  mutate(mutation: Mutation, request: RequestIdentity): Promise<CreateCountResponse | MutationRefusal>;
  /**
   * Finishes changes that somebody began, creations together; an Error stands for one that could not be finished. Safe to run at the same time
   * as others that finish them. Never rejects.
   */
  finish(changes: readonly CountChange[]): Promise<readonly (Decision | Error)[]>;
}

/**
 * The order is the guarantee: nothing reaches the counts store that CountInfoDB does not know of, and nothing is known to others
 * that the counts store has not decided. Whoever finds a change half done finishes it: a later mutation of the same Count, the same
 * request when it comes again, or the sweeper.
 */
export function createCountChanges(deps: CountChangesDeps): CountChanges {
  const { database, infos, requests, log } = deps;
  const accept = acceptance(deps);

  /** Makes a decided change known and ends it, with the reply to its request, unless somebody has done so before. */
  const complete = (change: CountChange, record: CountRecord, response: CreateCountResponse): Promise<void> =>
    database.transaction(async (tx) => {
      const [request] = await infos.end(tx, [change]);
      if (request === undefined) return;
      const [isSaved] = await infos.save(tx, [record]);
      if (isSaved === true) await deps.announce(tx, change, record);
      if (request.requestId === "") return;
      await requests.answer(tx, [{ request, response: toBinary(CreateCountResponseSchema, response) }]);
    });

  /** Forgets a change that the counts store refused, and its request. */
  const withdraw = (change: CountChange): Promise<void> =>
    database.transaction(async (tx) => {
      const [request] = await infos.end(tx, [change]);
      if (request !== undefined && request.requestId !== "") await requests.remove(tx, [request]);
    });

  const run = async (change: CountChange): Promise<{ decision: Decision; response: CreateCountResponse }> => {
    if (change.operation === "CREATE") {
      const [created] = await deps.creations.finish([change]);
      if (created === undefined || created instanceof Error) throw created ?? new Error("nothing came of a creation");
      return created;
    }
    const decision = await deps.decide(change);
    if (decision.kind !== "applied") {
      await withdraw(change);
      return { decision, response: create(CreateCountResponseSchema) };
    }
    const record = recordAfter(change);
    const response = responseOf(record, decision);
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
    await deps.admit(mutation.countId);
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
    finish: (changes) => finishAll(changes, deps.creations, run),
  };
}

/** Finishes creations together, and then each of the others. */
async function finishAll(
  changes: readonly CountChange[],
  creations: CountChangesDeps["creations"],
  run: (change: CountChange) => Promise<{ readonly decision: Decision }>,
): Promise<readonly (Decision | Error)[]> {
  const wanted = changes.filter(({ operation }) => operation === "CREATE");
  const created = wanted.length === 0 ? [] : await creations.finish(wanted);
  const decisions = new Map<CountChange, Decision | Error>();
  for (const [index, change] of wanted.entries()) {
    const result = created[index] as (typeof created)[number];
    decisions.set(change, result instanceof Error ? result : result.decision);
  }
  for (const change of changes) {
    if (decisions.has(change)) continue;
    try {
      decisions.set(change, (await run(change)).decision);
    } catch (error) {
      decisions.set(change, error instanceof Error ? error : new Error(String(error)));
    }
  }
  return changes.map((change) => decisions.get(change) as Decision | Error);
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
    const [known] = await requests.enter(tx, [{ request, countId }]);
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
