import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { hasScope } from "../../../platform/resource/caller-scopes.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import type { AuditFilter, AuditRecord, AuditStore } from "./store.ts";

const readScope = "audit.read";

/** A page of the audit log, newest first. */
export interface AuditPage {
  readonly page: readonly AuditRecord[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Who may look at the audit log. */
export interface AuditLog {
  /** Records that fit. Without the scope audit.read a person sees what they did themself, and nothing of anybody else. */
  list(
    caller: Caller,
    filter: AuditFilter,
    page: { readonly pageSize: number; readonly pageToken: string },
  ): Promise<AuditPage | Refusal<"notYours">>;
}

/** The audit log of a database. */
export function createAuditLog(deps: { readonly database: Database; readonly store: AuditStore }): AuditLog {
  const { database, store } = deps;
  return {
    list: async (caller, asked, page) => {
      const isOwn = caller.kind === "person" && (asked.principal ?? caller.principal) === caller.principal;
      // The same whether there is anything to see of somebody else or not.
      if (!hasScope(caller, readScope) && !isOwn) return refuse("notYours", { scope: readScope });
      const filter = hasScope(caller, readScope) ? asked : { ...asked, principal: caller.principal };
      return pageOf(
        ["ListAuditEvents", filter],
        page,
        (before, limit) => store.list(database.sql, filter, before, limit),
        (record) => record.auditId,
        (text) => /^\d{1,18}$/.test(text),
      );
    },
  };
}
