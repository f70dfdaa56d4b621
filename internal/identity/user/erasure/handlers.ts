import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ErasureSchema,
  ErasureState,
  type Erasure,
  type UserService,
} from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { userErrors } from "../errors.ts";
import { accepted, manageScope, note, permitted } from "../person/call.ts";
import type { ErasureRules } from "./rules.ts";
import type { ErasureStore, StoredErasure } from "./store.ts";

/** Deletes people, and tells how far it is. */
export function createErasureHandlers(deps: {
  readonly rules: Pick<ErasureRules, "begin">;
  readonly database: Pick<Database, "sql">;
  readonly erasures: Pick<ErasureStore, "get">;
  readonly log: Logger;
}): Pick<ServiceImpl<typeof UserService>, "deleteUser" | "getErasure"> {
  const { rules, database, erasures, log } = deps;
  return {
    deleteUser: async ({ userId }, context) => {
      const caller = callerOf(context);
      const target = permitted(caller, userId, manageScope);
      note(log, context, target);
      return { erasure: toErasure(accepted(caller, target, await rules.begin(target, caller))) };
    },

    getErasure: async ({ erasureId }) => {
      const erasure = await erasures.get(database.sql, erasureId);
      if (erasure === undefined) throw userErrors.erasureNotFound();
      return { erasure: toErasure(erasure) };
    },
  };
}

/** An erasure as callers see it. */
function toErasure({ erasureId, state, confirmations, createTimeMs, doneTimeMs }: StoredErasure): Erasure {
  return create(ErasureSchema, {
    erasureId,
    state: ErasureState[state],
    confirmations: confirmations.map(({ service, confirmTimeMs }) => ({
      service,
      ...(confirmTimeMs === undefined ? {} : { confirmTime: timestampFromMs(confirmTimeMs) }),
    })),
    createTime: timestampFromMs(createTimeMs),
    ...(doneTimeMs === undefined ? {} : { doneTime: timestampFromMs(doneTimeMs) }),
  });
}
