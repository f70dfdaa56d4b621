import { AsyncLocalStorage } from "node:async_hooks";
import { callErrors } from "../../../platform/rpc/call/errors.ts";
import type { Bulkhead } from "../../../platform/rpc/client/create-bulkhead.ts";
import type { Histogram } from "../../../platform/telemetry/metrics.ts";
import { type AskedCreation, type Creation, type CreationResult, type Creations } from "./creations.ts";

/** Bounds of the batches in which Counts are created. */
export interface CreationLimits {
  /** Most creations in a batch. */
  readonly batchMax: number;
  /** Most batches on their way: what forms the batches. */
  readonly batchesMax: number;
  /** Most creations in a batch that is soon done: fewer than it has wait for it. For a larger one nobody waits while there is room. */
  readonly promptMax: number;
  /** Most creations that wait. */
  readonly waitingMax: number;
}

/** Who creates a batch. */
export interface CreationQueueDeps {
  readonly creations: Pick<Creations, "create">;
  readonly limits: CreationLimits;
  /** Who may have a part of its creations here. */
  readonly turns: Bulkhead;
  /** Creations per batch. */
  readonly batchSizes: Histogram;
}

/** Creates Counts for many callers. */
export interface CreationQueue {
  /**
   * Creates a Count. One of the same id or request takes its turn behind those that came before. Throws RESOURCE_EXHAUSTED, reason OVERLOADED,
   * when too many wait already; it is not begun then.
   */
  create(creation: Creation): Promise<CreationResult>;
  /**
   * Creates Counts, each by itself: the results are in their order, and so are the turns of those of one id or request. They go in parts, for
   * which the callers take turns: however many callers there are, room is left for who creates one. The error of `create` stands for those
   * whose part was not begun. Never rejects.
   */
  createAll(creations: readonly Creation[]): Promise<readonly CreationResult[]>;
}

/** A creation that waits, and who hears of it. */
interface Waiting {
  readonly creation: AskedCreation;
  readonly resolve: (result: CreationResult) => void;
}

/**
 * Creations that wait at the same time go through the saga together, as one batch. What forms the batches is the cap on those on their way,
 * not a timer: a creation that finds nothing on its way goes at once.
 */
export function createCreationQueue({ creations, limits, turns, batchSizes }: CreationQueueDeps): CreationQueue {
  const { batchMax, batchesMax, promptMax, waitingMax } = limits;
  /** What is done for several calls belongs to none of them. */
  const apart = AsyncLocalStorage.snapshot();
  let waiting: Waiting[] = [];
  const onTheirWay = new Set<readonly Waiting[]>();

  /** As in count-write: few creations wait for each other in one batch, instead of going round in two small ones. */
  const isOpen = (): boolean =>
    onTheirWay.size < batchesMax &&
    [...onTheirWay].every(({ length }) => length > promptMax || waiting.length > length);

  /** Takes what may go now: of each Count and each request at most one that is on its way. */
  const takeBatch = (): readonly Waiting[] => {
    const busy = new Set([...onTheirWay].flatMap((batch) => batch.flatMap(({ creation }) => namesOf(creation))));
    const batch: Waiting[] = [];
    const left: Waiting[] = [];
    for (const each of waiting) {
      const names = namesOf(each.creation);
      const isTaken = batch.length < batchMax && names.every((name) => !busy.has(name));
      (isTaken ? batch : left).push(each);
      for (const name of names) busy.add(name); // Also of those left: who comes later waits behind them.
    }
    waiting = left;
    return batch;
  };

  const send = async (batch: readonly Waiting[]): Promise<void> => {
    onTheirWay.add(batch);
    batchSizes.observe(batch.length);
    const results = await creations.create(batch.map(({ creation }) => creation));
    for (const [place, { resolve }] of batch.entries()) resolve(results[place] as CreationResult);
    onTheirWay.delete(batch);
    sendWaiting();
  };

  function sendWaiting(): void {
    while (waiting.length > 0 && isOpen()) {
      const batch = takeBatch();
      if (batch.length === 0) return; // All wait for what is on its way.
      void send(batch); // Never rejects.
    }
  }

  const create = async (asked: readonly Creation[]): Promise<readonly CreationResult[]> => {
    if (waiting.length + asked.length > waitingMax) {
      throw callErrors.overloaded({ message: "too many creations of Counts are waiting; try again shortly" });
    }
    const within = AsyncLocalStorage.snapshot();
    const results = asked.map((creation) => {
      const { promise, resolve } = Promise.withResolvers<CreationResult>();
      return { entry: { creation: { ...creation, within }, resolve }, promise };
    });
    waiting.push(...results.map(({ entry }) => entry));
    apart(sendWaiting);
    return Promise.all(results.map(({ promise }) => promise));
  };

  return {
    create: async (creation) => (await create([creation]))[0] as CreationResult,
    createAll: async (asked) => {
      const results: CreationResult[] = [];
      for (let from = 0; from < asked.length; from += batchMax) {
        const part = asked.slice(from, from + batchMax);
        const made = await turns.run(() => create(part)).catch((error: Error) => part.map(() => error));
        results.push(...made);
      }
      return results;
    },
  };
}

/** What two creations may not both have in one batch: a Count, or a request. */
function namesOf({ countId, request: { principal, requestId } }: Creation): readonly string[] {
  return requestId === "" ? [countId] : [countId, `${requestId}\n${principal}`];
}
