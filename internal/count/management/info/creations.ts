import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CreateCountResponseSchema,
  type CreateCountResponse,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { countManagementErrors } from "../errors.ts";
import type { RequestIdentity, RequestStore } from "../request/store.ts";
import { type Applied, recordAfter, responseOf } from "./change-result.ts";
import type { CountRecord } from "./record.ts";
import type { CountChange, InfoStore, NewCount } from "./store.ts";

/** A Count that somebody wants. */
export interface Creation extends Pick<NewCount, "countId" | "content" | "initialValue"> {
  readonly request: RequestIdentity;
}

/** A creation with the context of the call that asks for it. */
export interface AskedCreation extends Creation {
  /** Runs what is done for this creation alone as part of its call: its events carry the call's trace. */
  readonly within: Within;
}

/** Runs work in some asynchronous context. */
export type Within = <T>(work: () => T) => T;

/** Why a Count was not created: nothing was changed. */
export interface CreationRefusal {
  readonly refused: "COUNT_EXISTS" | "REQUEST_ID_REUSED";
}

/** What came of a creation. An Error is UNAVAILABLE: reason OUTCOME_UNKNOWN when it was accepted and will be finished later, any other when nothing was changed. */
export type CreationResult = CreateCountResponse | CreationRefusal | Error;

/** Stores, and the steps outside of them; of the lists that the steps give back, an Error stands for its Count alone. */
export interface CreationsDeps {
  readonly database: Pick<Database, "transaction">;
  readonly infos: Pick<InfoStore, "beginCreations" | "takeBack" | "save" | "changeOf" | "end">;
  readonly requests: Pick<RequestStore, "enter" | "answer" | "remove">;
  /** Refuses while the counts store cannot decide: nothing is accepted that would only wait. */
  readonly admit: (countIds: readonly string[]) => Promise<readonly (Error | undefined)[]>;
  /** Has the counts store make the Counts, idempotent by count_id and info revision. */
  readonly decide: (changes: readonly CountChange[]) => Promise<readonly (Applied | Error)[]>;
  /** Opens Counts for writes; idempotent. */
  readonly activate: (changes: readonly CountChange[]) => Promise<readonly (Error | undefined)[]>;
  /** Records the events of creations, each as part of its call, in the transaction that makes them known. */
  readonly announce: (
    tx: Transaction,
    created: readonly { readonly record: CountRecord; readonly within: Within }[],
  ) => Promise<void>;
  readonly log: Logger;
}

/** Creates Counts, several in each step of the saga. */
export interface Creations {
  /** Creates Counts; each id and each request may be there once. Never rejects. */
  create(creations: readonly AskedCreation[]): Promise<readonly CreationResult[]>;
  /** Finishes creations that somebody began. Safe to run at the same time as others that finish them. Never rejects. */
  finish(changes: readonly CountChange[]): Promise<readonly (CreatedCount | Error)[]>;
}

/** A Count that was created. */
export interface CreatedCount {
  readonly decision: Applied;
  readonly response: CreateCountResponse;
}

/** What came of accepting a creation. */
type Acceptance =
  /** It is on its way now, or was already by the same request. */
  | { readonly kind: "accepted"; readonly change: CountChange }
  /** The same request was answered before. */
  | { readonly kind: "answered"; readonly response: CreateCountResponse }
  | { readonly kind: "refused"; readonly refusal: CreationRefusal };

/** A creation that was accepted. */
interface Started {
  readonly change: CountChange;
  readonly within: Within;
}

/** A creation that goes through the other steps. */
interface Step extends CreatedCount, Started {
  readonly place: number;
  readonly record: CountRecord;
}

/**
 * Takes creations that were accepted through the other steps. The order is the guarantee, as it is for every change: nothing reaches the counts
 * store that CountInfoDB does not know of, nothing is known to others that the counts store has not decided, and a Count takes no write
 * before it is known. Each step takes all creations together: a transaction for all, one call of the script for each shard. What fails for one of
 * them is no other's failure.
 */
function stepsOf(deps: CreationsDeps) {
  const { database, infos, requests } = deps;
  /** Makes decided creations known, unless that was done before. */
  const makeKnown = (steps: readonly Step[]): Promise<readonly boolean[]> =>
    database.transaction(async (tx) => {
      const saved = await infos.save(
        tx,
        steps.map(({ record }) => record),
      );
      await deps.announce(
        tx,
        steps.filter((_, index) => saved[index] === true),
      );
      return saved;
    });

  /** Ends creations, with the replies to their requests, unless somebody has ended them before. */
  const end = (steps: readonly Step[]): Promise<readonly unknown[]> =>
    database.transaction(async (tx) => {
      const ended = await infos.end(
        tx,
        steps.map(({ change }) => change),
      );
      const answers = steps.flatMap(({ response }, index) => {
        const request = ended[index];
        if (request === undefined || request.requestId === "") return [];
        return [{ request, response: toBinary(CreateCountResponseSchema, response) }];
      });
      await requests.answer(tx, answers);
      return ended;
    });

  return async (started: readonly Started[]): Promise<readonly (CreatedCount | Error)[]> => {
    const results: (CreatedCount | Error)[] = Array.from({ length: started.length });
    /** Notes failures; what goes on is the rest. */
    const without = (steps: readonly Step[], answers: readonly unknown[]): readonly Step[] =>
      steps.filter(({ place }, index) => {
        const answer = answers[index];
        if (answer instanceof Error) results[place] = answer;
        return !(answer instanceof Error);
      });

    const decisions = await deps.decide(started.map(({ change }) => change));
    let steps: readonly Step[] = started.flatMap(({ change, within }, place) => {
      const decision = decisions[place] as Applied | Error;
      if (decision instanceof Error) {
        results[place] = decision;
        return [];
      }
      const record = recordAfter(change);
      return [{ place, change, within, record, decision, response: responseOf(record, decision) }];
    });
    // Writes come last: a Count that takes them while it is PENDING would be there for some and not for others.
    steps = without(steps, await together(steps, makeKnown));
    steps = without(steps, await deps.activate(steps.map(({ change }) => change)));
    steps = without(steps, await together(steps, end));
    for (const { place, decision, response } of steps) results[place] = { decision, response };
    return results;
  };
}

/** Creates Counts by the stores and steps that are given. */
export function createCreations(deps: CreationsDeps): Creations {
  const accept = acceptance(deps);
  const run = stepsOf(deps);
  return {
    create: async (creations) => {
      const results: CreationResult[] = Array.from({ length: creations.length });
      const admitted = await deps.admit(creations.map(({ countId }) => countId));
      const wanted = creations.flatMap((creation, place) => {
        const refusal = admitted[place];
        if (refusal === undefined) return [{ creation, place }];
        results[place] = refusal;
        return [];
      });
      const acceptances = await together(wanted, (some) => accept(some.map(({ creation }) => creation)));
      const started = wanted.flatMap(({ creation, place }, index) => {
        const acceptance = acceptances[index] as Acceptance | Error;
        if (acceptance instanceof Error) results[place] = acceptance;
        else if (acceptance.kind === "answered") results[place] = acceptance.response;
        else if (acceptance.kind === "refused") results[place] = acceptance.refusal;
        else return [{ change: acceptance.change, within: creation.within, place }];
        return [];
      });
      for (const [index, result] of (await run(started)).entries()) {
        const { change, within, place } = started[index] as (typeof started)[number];
        const { countId, operation } = change;
        if (!(result instanceof Error)) {
          results[place] = result.response;
          continue;
        }
        within(() => deps.log.warn("a change is left to the sweeper", { count_id: countId, operation, err: result }));
        results[place] = countManagementErrors.outcomeUnknown({ count_id: countId }, { cause: result });
      }
      return results;
    },
    finish: (changes) => run(changes.map((change) => ({ change, within: (work) => work() }))),
  };
}

/**
 * Works on things together or, when that fails and it may be for one of them, on each by itself: an Error stands for each that failed. Never
 * rejects.
 */
async function together<T, R>(
  things: readonly T[],
  work: (things: readonly T[]) => Promise<readonly R[]>,
): Promise<readonly (R | Error)[]> {
  if (things.length === 0) return [];
  try {
    return await work(things);
  } catch (error) {
    const failure = error instanceof Error ? error : new Error(String(error));
    if (things.length === 1 || isStores(failure)) return things.map(() => failure);
    const results: (R | Error)[] = [];
    for (const thing of things) results.push(...(await together([thing], work)));
    return results;
  }
}

/** Whether a failure is the store's own, and would be the same for each by itself. */
function isStores(failure: Error): boolean {
  const { unavailable, overloaded } = storeErrors.table;
  return (
    failure instanceof MuinError && (failure.reason === unavailable.reason || failure.reason === overloaded.reason)
  );
}

/** Decides creations and records those that are allowed, in one transaction. */
function acceptance({ database, infos, requests }: CreationsDeps) {
  const acceptIn = async (tx: Transaction, creations: readonly Creation[]): Promise<readonly Acceptance[]> => {
    const named = creations.filter(({ request }) => request.requestId !== "");
    // First come: a second creator waits here until the first one's row is there, then finds it.
    const [begun, entered] = await Promise.all([infos.beginCreations(tx, creations), requests.enter(tx, named)]);
    const known = new Map(named.map((creation, index) => [creation, entered[index]]));
    const acceptances: Acceptance[] = [];
    const taken: CountChange[] = [];
    const forgotten: RequestIdentity[] = [];
    let isAnyBegun = false;
    for (const [index, creation] of creations.entries()) {
      const { request } = creation;
      const change = begun[index];
      const before = known.get(creation);
      if (before === undefined && change !== undefined) {
        acceptances.push({ kind: "accepted", change });
        isAnyBegun = true;
        continue;
      }
      if (change !== undefined) taken.push(change);
      if (before === undefined) {
        if (request.requestId !== "") forgotten.push(request);
        acceptances.push({ kind: "refused", refusal: { refused: "COUNT_EXISTS" } });
      } else if (!Buffer.from(before.fingerprint).equals(request.fingerprint)) {
        acceptances.push({ kind: "refused", refusal: { refused: "REQUEST_ID_REUSED" } });
      } else if (before.response !== undefined) {
        acceptances.push({ kind: "answered", response: fromBinary(CreateCountResponseSchema, before.response) });
      } else {
        const left = await infos.changeOf(tx, before.countId);
        // A request without a reply has its change beside it: both come and go in the same transactions.
        if (left === undefined) throw new Error(`request of Count ${before.countId} has neither reply nor change`);
        acceptances.push({ kind: "accepted", change: left });
      }
    }
    if (!isAnyBegun) throw new RolledBack(acceptances);
    if (taken.length > 0) await infos.takeBack(tx, taken);
    await requests.remove(tx, forgotten);
    return acceptances;
  };

  return async (creations: readonly Creation[]): Promise<readonly Acceptance[]> => {
    try {
      return await database.transaction((tx) => acceptIn(tx, creations));
    } catch (error) {
      if (error instanceof RolledBack) return error.acceptances;
      throw error;
    }
  };
}

/** Takes back what the transaction of an acceptance has recorded when nothing of it is to stay, and carries what came of it. */
class RolledBack extends Error {
  readonly acceptances: readonly Acceptance[];

  constructor(acceptances: readonly Acceptance[]) {
    super("not accepted");
    this.acceptances = acceptances;
  }
}
