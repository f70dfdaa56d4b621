import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CountSchema,
  CountSource,
  CountState,
  CountValueSchema,
  type Count,
} from "../../../gen/muin/count/v1/count_pb.ts";
import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { MuinError } from "../../../platform/errors/muin-error.ts";
import { countReadErrors } from "../errors.ts";
import { gather } from "../gather.ts";
import { impatient } from "../impatient.ts";
import type { CachedInfo, InfoCache, InfoDemand } from "../info/cache.ts";
import type { ReadValue, ReadValues } from "./source.ts";

/** A replica lags by the time between two heartbeats at least: whoever wants it fresher is sent to the primary at once. */
const replicaStalenessMsMin = 150;

/** Reads values with their metadata. `maxStalenessMs` says how old a value may be; 0 reads the primary. */
export interface CountReader {
  /**
   * Reads one Count; answers at once from memory where the staleness permits. Throws or rejects with NOT_FOUND,
   * FAILED_PRECONDITION (deleted), or UNAVAILABLE.
   */
  read(countId: string, maxStalenessMs: number): Count | Promise<Count>;
  /** Reads many in one round trip per store, in the order of the ids; `undefined` for those that do not exist or were deleted. */
  readAll(countIds: readonly string[], maxStalenessMs: number): Promise<readonly (Count | undefined)[]>;
  /** The Count, or any when it is undefined, was created or deleted: what is remembered of its value says otherwise. */
  forget(countId: string | undefined): void;
}

/** Where values and metadata come from, and bounds of time and memory. */
export interface CountReaderDeps {
  readonly readPrimary: ReadValues;
  readonly readReplica: ReadValues;
  readonly infos: Pick<InfoCache, "peek" | "read" | "readAll">;
  readonly clock: Pick<Clock, "monotonic" | "sleep">;
  /** How long a replica may take to answer, in milliseconds. */
  readonly replicaTimeoutMs: number;
  /** Counts whose values are kept in memory. */
  readonly cachedMax: number;
}

/** A value in memory, with the reply that was last made of it. */
interface CachedValue {
  readonly value: ReadValue;
  reply: { readonly info: CachedInfo; readonly count: Count } | undefined;
}

/** A reader that remembers nothing yet. */
export function createCountReader(deps: CountReaderDeps): CountReader {
  const { clock, infos } = deps;
  const memory = createLruMap<CachedValue>(deps.cachedMax);
  const readReplica = impatient(deps.readReplica, { clock, timeoutMs: deps.replicaTimeoutMs });

  const remember = (countIds: readonly string[], values: readonly ReadValue[]): readonly ReadValue[] => {
    for (const [index, value] of values.entries()) {
      const countId = countIds[index] as string;
      const before = memory.get(countId)?.value;
      if (before === undefined || before.freshAt <= value.freshAt) memory.set(countId, { value, reply: undefined });
    }
    return values;
  };
  const fromPrimary = async (countIds: readonly string[]): Promise<readonly ReadValue[]> =>
    remember(
      countIds,
      await deps.readPrimary(countIds).catch((error: unknown) => {
        throw countReadErrors.valuesUnavailable({ cause: error });
      }),
    );
  /** `undefined` for each when the replica does not answer. */
  const fromReplica = async (countIds: readonly string[]): Promise<readonly (ReadValue | undefined)[]> => {
    try {
      return remember(countIds, await readReplica(countIds));
    } catch {
      return countIds.map(() => undefined); // The primary has them.
    }
  };
  const onePrimary = gather(fromPrimary);
  const oneReplica = gather(fromReplica);

  const isFresh = (value: ReadValue, maxStalenessMs: number): boolean =>
    clock.monotonic() - value.freshAt <= maxStalenessMs;

  const peekValue = (countId: string, maxStalenessMs: number): CachedValue | undefined => {
    if (maxStalenessMs === 0) return undefined;
    const cached = memory.get(countId);
    return cached !== undefined && isFresh(cached.value, maxStalenessMs) ? cached : undefined;
  };

  const valueOf = async (countId: string, maxStalenessMs: number): Promise<ReadValue> => {
    if (maxStalenessMs >= replicaStalenessMsMin) {
      const value = await oneReplica(countId);
      if (value !== undefined && isFresh(value, maxStalenessMs)) return value;
    }
    return onePrimary(countId);
  };

  /** A Count that does not exist may be answered from metadata as old as its value may be. */
  const demandOf = (record: ReadValue["record"], maxStalenessMs: number): InfoDemand => ({
    infoRevision: record?.infoRevision ?? 0,
    absentAfter: clock.monotonic() - maxStalenessMs,
  });

  const readSlow = async (countId: string, maxStalenessMs: number): Promise<Count> => {
    const demand = demandOf(undefined, maxStalenessMs);
    const cached = peekValue(countId, maxStalenessMs)?.value;
    const [value] = await Promise.all([
      cached ?? valueOf(countId, maxStalenessMs),
      infos.peek(countId, demand) ?? infos.read(countId, demand).catch(() => undefined), // Asked again below if it is needed.
    ]);
    const refused = refusalOf(countId, value);
    if (refused !== undefined) throw refused;
    const exact = { ...demand, infoRevision: value.record?.infoRevision ?? 0 };
    const info = infos.peek(countId, exact) ?? (await infos.read(countId, exact));
    return toCount(countId, value, info, cached === undefined ? sourceOf(value) : CountSource.CACHE);
  };

  return {
    read: (countId, maxStalenessMs) => {
      const cached = peekValue(countId, maxStalenessMs);
      if (cached === undefined) return readSlow(countId, maxStalenessMs);
      const refused = refusalOf(countId, cached.value);
      if (refused !== undefined) throw refused;
      const info = infos.peek(countId, demandOf(cached.value.record, maxStalenessMs));
      if (info === undefined) return readSlow(countId, maxStalenessMs);
      if (cached.reply?.info === info) return cached.reply.count;
      const count = toCount(countId, cached.value, info, CountSource.CACHE);
      cached.reply = { info, count };
      return count;
    },

    readAll: async (countIds, maxStalenessMs) => {
      const values = new Map<string, ReadValue>();
      const cachedIds = new Set<string>();
      let missing: string[] = [];
      for (const countId of new Set(countIds)) {
        const cached = peekValue(countId, maxStalenessMs);
        if (cached === undefined) missing.push(countId);
        else {
          cachedIds.add(countId);
          values.set(countId, cached.value);
        }
      }
      const readMissing = async (): Promise<void> => {
        if (missing.length > 0 && maxStalenessMs >= replicaStalenessMsMin) {
          const read = await fromReplica(missing);
          missing = missing.filter((countId, index) => {
            const value = read[index];
            if (value === undefined || !isFresh(value, maxStalenessMs)) return true;
            values.set(countId, value);
            return false;
          });
        }
        if (missing.length === 0) return;
        const read = await fromPrimary(missing);
        for (const [index, countId] of missing.entries()) values.set(countId, read[index] as ReadValue);
      };
      const demand = demandOf(undefined, maxStalenessMs);
      await Promise.all([
        readMissing(),
        infos.readAll(countIds, () => demand).catch(() => undefined), // Asked again below for those that are needed.
      ]);
      const live = countIds.filter((countId) => refusalOf(countId, values.get(countId) as ReadValue) === undefined);
      const exact = await infos.readAll(live, (countId) => ({
        ...demand,
        infoRevision: values.get(countId)?.record?.infoRevision ?? 0,
      }));
      const infoById = new Map(live.map((countId, index) => [countId, exact[index] as CachedInfo]));
      return countIds.map((countId) => {
        const info = infoById.get(countId);
        if (info?.known === undefined) return undefined;
        const value = values.get(countId) as ReadValue;
        return toCount(countId, value, info, cachedIds.has(countId) ? CountSource.CACHE : sourceOf(value));
      });
    },

    forget: (countId) => (countId === undefined ? memory.clear() : memory.delete(countId)),
  };
}

/** Why a value is not to be had, as far as the counts store knows. */
function refusalOf(countId: string, { record }: ReadValue): MuinError | undefined {
  if (record === undefined) return countReadErrors.countNotFound({ count_id: countId });
  return record.state === "deleted" ? countReadErrors.countDeleted({ count_id: countId }) : undefined;
}

function sourceOf({ source }: ReadValue): CountSource {
  return source === "primary" ? CountSource.PRIMARY : CountSource.REPLICA;
}

/** The reply. Throws NOT_FOUND for a Count that the counts store has and CountInfoDB does not: it is being created. */
function toCount(countId: string, { record, asOfMs }: ReadValue, { known }: CachedInfo, source: CountSource): Count {
  if (record === undefined || known === undefined) throw countReadErrors.countNotFound({ count_id: countId });
  return create(CountSchema, {
    // The counts store decides whether a Count is in use; metadata may be a moment behind.
    info: known.info.state === CountState.ACTIVE ? known.info : { ...known.info, state: CountState.ACTIVE },
    value: create(CountValueSchema, {
      countId,
      value: BigInt(record.value),
      revision: BigInt(record.revision),
      updateTime: timestampFromMs(record.updateTimeMs),
    }),
    asOf: timestampFromMs(asOfMs),
    source,
  });
}
