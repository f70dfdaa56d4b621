import type { ServiceImpl } from "@connectrpc/connect";
import type { UserService } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { refuse } from "../errors.ts";
import { accepted, permitted, readScope, shown } from "./call.ts";
import { roleNames, statusNames } from "./person.ts";
import type { PersonQuery, PersonStore } from "./store.ts";

/** Shows people. */
export function createPersonHandlers({
  database: { sql },
  people,
}: {
  readonly database: Pick<Database, "sql">;
  readonly people: Pick<PersonStore, "get" | "list">;
}): Pick<ServiceImpl<typeof UserService>, "getUser" | "listUsers"> {
  return {
    getUser: async ({ userId }, context) => {
      const caller = callerOf(context);
      const target = permitted(caller, userId, readScope);
      return shown(
        caller,
        accepted(caller, target, (await people.get(sql, target)) ?? refuse("userNotFound", { user_id: target })),
      );
    },

    listUsers: async (request, context) => {
      const caller = callerOf(context);
      const query: PersonQuery = {
        role: roleNames.get(request.role),
        branchId: request.branchId,
        status: statusNames.get(request.status),
        plan: request.plan,
        email: request.email.toLowerCase(),
      };
      const { page, nextPageToken } = await pageOf(
        ["ListUsers", query.role, query.branchId, query.status, query.plan, query.email],
        request,
        (after, limit) => people.list(sql, query, after, limit),
        ({ userId }) => userId,
      );
      return { users: page.map((person) => shown(caller, person).user), nextPageToken };
    },
  };
}
