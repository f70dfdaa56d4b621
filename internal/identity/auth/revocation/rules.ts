import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import { revocationLifeMs } from "../../../platform/identity/revocations.ts";
import { tokenAheadMsMax } from "../../../platform/identity/token-claims.ts";
import { deviceRevocationLifeMs, withdrawalLifeMs } from "../../../platform/identity/token-verifier.ts";
import type { Database, Sql, Transaction } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { republishAll, type RepublishedPage } from "../../../platform/resource/republish.ts";
import {
  publishDeviceRevoked,
  publishEntryPassRevoked,
  publishServiceWithdrawn,
  publishSessionRevoked,
  type AuthPublish,
} from "../events.ts";
import type { Ended, RevocationStore } from "./store.ts";

/** Revocations that are told again in one transaction. */
const republishPage = 500;
/** A revoked pass matters for so long after its time. */
const entryPassPastMs = tokenAheadMsMax + 60 * 60_000;

const kinds = ["sessions", "devices", "services", "passes"] as const;
type Kind = (typeof kinds)[number];

/**
 * How long after its end a token of each kind may still live, in milliseconds, with room for clocks that differ. An entry pass does not
 * outlive its time, but this clock may run ahead.
 */
const lives: Readonly<Record<Kind, number>> = {
  sessions: revocationLifeMs,
  devices: deviceRevocationLifeMs,
  services: withdrawalLifeMs,
  passes: entryPassPastMs,
};

/** A revocation of which a token may still live. */
export interface Revocation extends Ended {
  readonly kind: Kind;
}

/** A page of revocations. */
export interface RevocationPage {
  readonly page: readonly Revocation[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** What ended before its time, as long as that matters: for whoever may have missed the events of it. */
export interface LateRevocations {
  /** Sessions, then devices, then services, then entry passes, each in the order of the ids. */
  list(page: { readonly pageSize: number; readonly pageToken: string }): Promise<RevocationPage>;
  /** Records the events of all again, at their versions: harmless for who has them. Returns how many. */
  republish(): Promise<number>;
}

/** The revocations of a database. */
export function createLateRevocations(deps: {
  readonly database: Database;
  readonly revocations: RevocationStore;
  readonly publish: AuthPublish;
  readonly clock: Pick<Clock, "now">;
}): LateRevocations {
  const { database, revocations, publish, clock } = deps;

  const read = async (on: Sql, after: string, limit: number): Promise<readonly Revocation[]> => {
    const from = placeOf(after);
    const found: Revocation[] = [];
    for (const kind of kinds.slice(kinds.indexOf(from.kind))) {
      const query = { sinceMs: clock.now() - lives[kind], after: kind === from.kind ? from.id : "" };
      const ended = await revocations[kind](on, { ...query, limit: limit - found.length });
      for (const one of ended) found.push({ kind, ...one });
      if (found.length === limit) break;
    }
    return found;
  };

  const republishAfter = (after: string): Promise<RepublishedPage> =>
    database.transaction(async (tx) => {
      const page = await read(tx, after, republishPage);
      // Nothing that ended begins again under its id, so no row needs a lock; a service that was withdrawn again is told at both times.
      for (const one of page) await tell(tx, publish, one);
      const last = page.at(-1);
      return { last: last === undefined ? "" : cursorOf(last), recorded: page.length };
    });

  return {
    list: (page) =>
      pageOf(["ListRevocations"], page, (after, limit) => read(database.sql, after, limit), cursorOf, isCursor),
    republish: () => republishAll(republishAfter),
  };
}

function tell(
  tx: Transaction,
  publish: AuthPublish,
  { kind, id, version, timeMs, expireTimeMs = timeMs }: Revocation,
): Promise<void> {
  switch (kind) {
    case "sessions":
      return publishSessionRevoked(tx, publish, id, version, timeMs);
    case "devices":
      return publishDeviceRevoked(tx, publish, id, version, timeMs);
    case "services":
      return publishServiceWithdrawn(tx, publish, id, version, timeMs);
    case "passes":
      return publishEntryPassRevoked(tx, publish, id, version, timeMs, expireTimeMs);
    default:
      return assertNever(kind);
  }
}

function cursorOf({ kind, id }: Revocation): string {
  return `${kind}/${id}`;
}

function placeOf(cursor: string): { readonly kind: Kind; readonly id: string } {
  const [name = "", id = ""] = cursor.split("/");
  return { kind: kinds.find((kind) => kind === name) ?? "sessions", id };
}

function isCursor(text: string): boolean {
  const { kind, id } = placeOf(text);
  return text === `${kind}/${id}` && (kind === "services" ? /^[a-z][a-z0-9-]*$/.test(id) : isUuid(id));
}
