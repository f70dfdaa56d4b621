import type { Sql } from "../../../platform/postgres/database.ts";

/** A session, device or service whose tokens are no longer good, or an entry pass that is not. */
export interface Ended {
  readonly id: string;
  /** As the event told it that said so; of a service the version that it has now. */
  readonly version: bigint;
  /** When it ended, of a session when it was last used where that is later: until then its tokens are dated. In milliseconds since 1970. */
  readonly timeMs: number;
  /** When it would have ended by its time, of an entry pass. */
  readonly expireTimeMs?: number;
}

/** Which to find: ended at `sinceMs` or later, of entry passes by their time, with an id after `after` (empty: the first), at most `limit`. */
export interface EndedQuery {
  readonly sinceMs: number;
  readonly after: string;
  readonly limit: number;
}

/** What ended, by kind, in the order of the ids. */
export interface RevocationStore {
  sessions(on: Sql, query: EndedQuery): Promise<readonly Ended[]>;
  devices(on: Sql, query: EndedQuery): Promise<readonly Ended[]>;
  services(on: Sql, query: EndedQuery): Promise<readonly Ended[]>;
  passes(on: Sql, query: EndedQuery): Promise<readonly Ended[]>;
}
