import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { OwnerSchema, type OwnerService } from "../../../gen/muin/identity/v1/owner_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { toOwner } from "./message.ts";
import type { OwnerRules } from "./rules.ts";

/** Serves owners. */
export function createOwnerHandlers({ rules }: { readonly rules: OwnerRules }): ServiceImpl<typeof OwnerService> {
  return {
    registerOwner: async (request, context) => {
      const owner = request.owner ?? create(OwnerSchema);
      return { owner: toOwner(orThrow(await rules.register(callerOf(context), owner))) };
    },

    getOwner: async ({ userId }, context) => ({
      owner: toOwner(orThrow(await rules.get(callerOf(context), userId))),
    }),

    updateOwner: async (request, context) => {
      const owner = request.owner ?? create(OwnerSchema);
      const answer = await rules.update(callerOf(context), owner, request.updateMask?.paths);
      return { owner: toOwner(orThrow(answer)) };
    },

    listOwners: async (request, context) => {
      const { page, nextPageToken } = await pageOf(
        ["owners"],
        request,
        async (after, limit) => orThrow(await rules.list(callerOf(context), after, limit)),
        ({ userId }) => userId,
      );
      return { owners: page.map(toOwner), nextPageToken };
    },
  };
}
