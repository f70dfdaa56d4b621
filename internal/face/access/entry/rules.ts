import type { Entry } from "../../../gen/muin/face/v1/entry_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isRefusal, orThrow, refuserOf, type Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import type { CopyReader } from "../copies/store.ts";
import type { Doubt } from "../doubt/doubt.ts";
import { accessErrors } from "../errors.ts";
import type { EntryTail } from "./tail.ts";
import type { EntryPlace, EntryQuery, EntryStore } from "./store.ts";

/** Whoever watches hears something at least so often. */
const signOfLifeMs = 10_000;
/** Streams look at least so often whether there is something to say. */
const wakeMs = 1000;
/** Whether a caller still may watch is asked so often. */
const rightsMs = 30_000;

/** What a watch tells. */
export interface Told {
  readonly entries: readonly Entry[];
  /** All up to this sequence that the watch is of has been told. */
  readonly position: bigint;
}

const refuse = refuserOf(accessErrors);

/** Who sees which entries. */
export interface EntryRules {
  get(caller: Caller, entryId: string): Promise<Entry | Refusal<"entryForbidden" | "entryNotFound">>;
  /** The query as far as the caller may ask it: who may see nothing but their own lists that. */
  allowed(caller: Caller, query: EntryQuery): Promise<EntryQuery | Refusal<"entryForbidden">>;
  /** Newest first, for a query that is allowed. */
  list(query: EntryQuery, before: EntryPlace | undefined, limit: number): Promise<readonly Entry[]>;
  /**
   * Tells entries as they are recorded, from after a sequence or from now on, until the signal is aborted. It begins at once with what there is, be it nothing. Throws
   * MuinError when entries after the sequence were removed, when the caller may not watch any more, and WATCHES_EXCEEDED when as many streams are open as may be.
   */
  watch(caller: Caller, query: EntryQuery, after: bigint | undefined, signal: AbortSignal): AsyncIterable<Told>;
}

export function createEntryRules(deps: {
  readonly database: Pick<Database, "sql">;
  readonly entries: Pick<EntryStore, "find" | "list">;
  readonly copies: CopyReader;
  readonly doubt: Pick<Doubt, "look">;
  readonly tail: EntryTail;
  readonly clock: Pick<Clock, "monotonic">;
}): EntryRules {
  const { database, entries, copies, doubt, tail, clock } = deps;
  const { sql } = database;

  const runs = async (personId: string, branchId: string): Promise<boolean> => {
    await (await doubt.look(branchId)).judge(personId, "store");
    const copy = await copies.branch(branchId);
    if (copy === undefined) return false;
    if (copy.branch.ownerId !== personId && !copy.staff.some(({ userId }) => userId === personId)) return false;
    const person = await copies.member(personId);
    return person === undefined || person.status === "ACTIVE";
  };

  const allowed = async (caller: Caller, query: EntryQuery): Promise<EntryQuery | Refusal<"entryForbidden">> => {
    if (hasScope(caller, "entries.read")) return query;
    const own = personIdOf(caller);
    if (own === "") return refuse("entryForbidden");
    if (query.memberId === own) return query;
    if (query.branchId !== undefined && (await runs(own, query.branchId))) return query;
    if (query.branchId === undefined && query.memberId === undefined) return { ...query, memberId: own };
    return refuse("entryForbidden");
  };

  return {
    allowed,

    get: async (caller, entryId) => {
      const entry = await entries.find(sql, entryId);
      if (hasScope(caller, "entries.read")) return entry ?? refuse("entryNotFound", { entry_id: entryId });
      const own = personIdOf(caller);
      if (entry === undefined || own === "") return refuse("entryForbidden");
      return entry.memberId === own || (await runs(own, entry.branchId)) ? entry : refuse("entryForbidden");
    },

    list: (query, before, limit) => entries.list(sql, query, before, limit),

    watch: async function* (caller, asked, after, signal) {
      using following = tail.follow(caller.principal, signal);
      const { last, removed } = await following.bounds();
      if (after !== undefined && after < removed) throw accessErrors.resumeTokenTooOld();
      let query = orThrow(await allowed(caller, asked));
      let position = after ?? last;
      let toldMs = -Infinity;
      let askedMs = clock.monotonic();
      while (!signal.aborted) {
        const next = following.next(); // Before the look, so that what is recorded during it ends the wait.
        if (clock.monotonic() - askedMs >= rightsMs) {
          const still = await allowed(caller, asked);
          if (isRefusal(still)) throw still.error;
          [query, askedMs] = [still, clock.monotonic()];
        }
        const { rows, reached, hasMore } = await following.look(query, position, last);
        position = reached;
        if (rows.length > 0 || clock.monotonic() - toldMs >= signOfLifeMs) {
          yield { entries: rows.map(({ entry }) => entry), position };
          toldMs = clock.monotonic();
        }
        if (!hasMore) await next.wait(wakeMs, signal);
      }
    },
  };
}
