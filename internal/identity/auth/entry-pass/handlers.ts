import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ExportedEntryPassSchema } from "../../../gen/muin/identity/v1/account_data_pb.ts";
import type { EntryPassService } from "../../../gen/muin/identity/v1/entry_pass_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import type { EntryPasses } from "./rules.ts";
import type { IssuedPass } from "./store.ts";

/** Serves entry passes. */
export function createEntryPassHandlers(passes: EntryPasses): ServiceImpl<typeof EntryPassService> {
  return {
    issueEntryPass: async (request, context) => {
      const { passId, pass, expireTimeMs } = orThrow(await passes.issue(request, callerOf(context), clientOf(context)));
      return { entryPassId: passId, pass, expireTime: timestampFromMs(expireTimeMs) };
    },
    revokeEntryPass: async ({ entryPassId }, context) => {
      orThrow(await passes.revoke(entryPassId, callerOf(context), clientOf(context)));
      return {};
    },
  };
}

/** A pass in the copy of its person's data. */
export function exportedPassOf(pass: IssuedPass): MessageInitShape<typeof ExportedEntryPassSchema> {
  const { passId, branchId, issueTimeMs, expireTimeMs, revokeTimeMs } = pass;
  return {
    entryPassId: passId,
    branchId,
    issueTime: timestampFromMs(issueTimeMs),
    expireTime: timestampFromMs(expireTimeMs),
    ...(revokeTimeMs === undefined ? {} : { revokeTime: timestampFromMs(revokeTimeMs) }),
  };
}
