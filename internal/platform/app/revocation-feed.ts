import { fromBinary } from "@bufbuild/protobuf";
import { ApiKeyRevokedSchema, SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import type { Consumer, EventBus } from "../events/event-bus.ts";
import { topicOf } from "../events/topics.ts";
import { accessTokenLifeMsMax } from "../identity/token-claims.ts";

/** Read back further than any token lives, so that a process knows every revocation that still matters before it is ready. */
const backMs = accessTokenLifeMsMax + 60_000;

/** Tells this process's authenticator of every session and API key that ends before its time. */
export function createRevocationFeed(options: {
  /** Name of the process. */
  readonly service: string;
  readonly bus: EventBus;
  readonly authenticator: { sessionRevoked(sessionId: string): void; apiKeyRevoked(apiKeyId: string): void };
}): Consumer {
  const { authenticator } = options;
  return options.bus.subscribe({
    service: options.service,
    topic: topicOf(SessionRevokedSchema),
    types: [SessionRevokedSchema.typeName, ApiKeyRevokedSchema.typeName],
    kind: "everyInstance",
    onFailure: "skip",
    backMs,
    attemptsMax: 1,
    handle: async ({ type, data }) => {
      if (type === SessionRevokedSchema.typeName) {
        authenticator.sessionRevoked(fromBinary(SessionRevokedSchema, data).sessionId);
      } else {
        authenticator.apiKeyRevoked(fromBinary(ApiKeyRevokedSchema, data).apiKeyId);
      }
    },
  });
}
