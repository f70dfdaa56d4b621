import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService, TokenPairSchema } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { personOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { Refreshes } from "./refresh.ts";
import type { Sessions, Tokens } from "./rules.ts";

/** Serves a person's sessions. */
export function createSessionHandlers({
  sessions,
  refreshes,
}: {
  readonly sessions: Pick<Sessions, "end" | "list">;
  readonly refreshes: Refreshes;
}): Pick<ServiceImpl<typeof AuthService>, "refreshToken" | "signOut" | "listSessions" | "revokeSession"> {
  return {
    refreshToken: async (request, context) => ({
      tokens: tokenPairOf(orThrow(await refreshes.refresh(request.refreshToken, clientOf(context)))),
    }),
    signOut: async (_request, context) => {
      const person = personOf(context);
      orThrow(await sessions.end(person.id, person.sessionId, clientOf(context), "SIGN_OUT"));
      return {};
    },
    listSessions: async (request, context) => {
      const person = personOf(context);
      const { page, nextPageToken } = await sessions.list(person.id, request);
      return {
        sessions: page.map((session) => ({
          sessionId: session.sessionId,
          createTime: timestampFromMs(session.createTimeMs),
          useTime: timestampFromMs(session.useTimeMs),
          expireTime: timestampFromMs(session.expireTimeMs),
          userAgent: session.userAgent,
          address: session.address,
          current: session.sessionId === person.sessionId,
        })),
        nextPageToken,
      };
    },
    revokeSession: async ({ sessionId }, context) => {
      orThrow(await sessions.end(personOf(context).id, sessionId, clientOf(context), "REVOKE_SESSION"));
      return {};
    },
  };
}

/** A session's tokens as its owner gets them. */
export function tokenPairOf(tokens: Tokens): MessageInitShape<typeof TokenPairSchema> {
  return {
    accessToken: tokens.accessToken,
    accessExpireTime: timestampFromMs(tokens.accessExpireTimeMs),
    refreshToken: tokens.refreshToken,
    refreshExpireTime: timestampFromMs(tokens.refreshExpireTimeMs),
  };
}
