import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Sql } from "../../../platform/postgres/database.ts";
import { hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import type { BranchStore } from "../branch/store.ts";
import { refuse } from "../errors.ts";
import type { PersonStore } from "../person/store.ts";
import type { EnrolmentQuery } from "./store.ts";

/** Why somebody may not do something with faces. */
export type AccessRefusal = Refusal<"accountSuspended" | "enrolmentForbidden">;

/** Who may do what with faces. It is asked before it is told whether there is what is asked for. */
export interface EnrolmentAccess {
  /** Whether the caller may enrol at all of these branches, and change the faces there; of no branch only who manages all may. */
  refusalToChange(sql: Sql, caller: Caller, branchIds: readonly string[]): Promise<AccessRefusal | undefined>;
  /** Whether the caller may read an enrolment; `undefined` for one that there is not. */
  refusalToRead(
    sql: Sql,
    caller: Caller,
    enrolment: { readonly memberId: string; readonly branchIds: readonly string[] } | undefined,
  ): Promise<AccessRefusal | undefined>;
  /** What the caller sees of what a query asks for. */
  visible(sql: Sql, caller: Caller, asked: Omit<EnrolmentQuery, "viewerId">): Promise<EnrolmentQuery | AccessRefusal>;
}

export function createEnrolmentAccess(deps: {
  readonly branches: Pick<BranchStore, "managedAmong" | "managesAny">;
  readonly people: Pick<PersonStore, "statusOf">;
}): EnrolmentAccess {
  const { branches, people } = deps;

  /** Whoever is suspended or deleted may nothing; of whom nothing is known yet may what others may. */
  const refusalToAct = async (sql: Sql, caller: Caller): Promise<AccessRefusal | undefined> => {
    const personId = personIdOf(caller);
    const status = personId === "" ? undefined : await people.statusOf(sql, personId);
    return status === undefined || status === "ACTIVE" ? undefined : refuse("accountSuspended");
  };
  const managesAllOf = async (sql: Sql, caller: Caller, branchIds: readonly string[]): Promise<boolean> => {
    if (branchIds.length === 0) return false;
    const managed = new Set(await branches.managedAmong(sql, branchIds, personIdOf(caller)));
    return branchIds.every((branchId) => managed.has(branchId));
  };

  return {
    refusalToChange: async (sql, caller, branchIds) => {
      const [refusal, isManager] = await Promise.all([refusalToAct(sql, caller), managesAllOf(sql, caller, branchIds)]);
      if (refusal !== undefined) return refusal;
      const may = managesAllFaces(caller) || isManager;
      return may ? undefined : refuse("enrolmentForbidden");
    },

    refusalToRead: async (sql, caller, enrolment) => {
      const refusal = await refusalToAct(sql, caller);
      if (refusal !== undefined) return refusal;
      const { memberId = "", branchIds = [] } = enrolment ?? {};
      const isOwn = memberId !== "" && memberId === personIdOf(caller);
      const may = seesAllFaces(caller) || isOwn || (await managesAllOf(sql, caller, branchIds));
      return may ? undefined : refuse("enrolmentForbidden");
    },

    visible: async (sql, caller, asked) => {
      const refusal = await refusalToAct(sql, caller);
      if (refusal !== undefined) return refusal;
      if (seesAllFaces(caller)) return { ...asked, viewerId: undefined };
      const viewerId = personIdOf(caller);
      if (viewerId === "") return refuse("enrolmentForbidden");
      const isOwn = asked.memberId === "" || asked.memberId === viewerId;
      const manages =
        asked.branchId === ""
          ? await branches.managesAny(sql, viewerId)
          : await managesAllOf(sql, caller, [asked.branchId]);
      return isOwn || manages ? { ...asked, viewerId } : refuse("enrolmentForbidden");
    },
  };
}

/** Whether the caller may do everything with all faces. */
export function managesAllFaces(caller: Caller): boolean {
  return hasScope(caller, "faces.manage");
}

function seesAllFaces(caller: Caller): boolean {
  return managesAllFaces(caller) || hasScope(caller, "faces.read");
}
