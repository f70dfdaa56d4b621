import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Consumer, EventBus } from "../events/event-bus.ts";
import { topicOf } from "../events/topics.ts";
import type { Authenticator } from "../identity/authenticator.ts";
import { revocationLifeMs } from "../identity/revocations.ts";
import { deviceRevocationLifeMs } from "../identity/token-verifier.ts";

/**
 * Tells this process's authenticator of every session, API key and device that ends before its time. Reads back further than any
 * token lives, so that a process knows every revocation that still matters before it is ready.
 */
export function createRevocationFeed(options: {
  /** Name of the process. */
  readonly service: string;
  readonly bus: EventBus;
  readonly authenticator: Pick<Authenticator, "sessionRevoked" | "apiKeyRevoked" | "deviceRevoked">;
  readonly clock: Pick<Clock, "now">;
}): Consumer {
  const { authenticator, clock } = options;
  return options.bus.subscribe({
    service: options.service,
    topic: topicOf(SessionRevokedSchema),
    types: [SessionRevokedSchema.typeName, ApiKeyRevokedSchema.typeName, DeviceRevokedSchema.typeName],
    kind: "everyInstance",
    onFailure: "skip",
    backMs: deviceRevocationLifeMs,
    attemptsMax: 1,
    handle: async ({ type, data }) => {
      if (type === SessionRevokedSchema.typeName) {
        const { sessionId, time } = fromBinary(SessionRevokedSchema, data);
        // A session that ended before any token still lives takes no memory.
        const isPast = time !== undefined && timestampMs(time) < clock.now() - revocationLifeMs;
        if (!isPast) authenticator.sessionRevoked(sessionId);
      } else if (type === DeviceRevokedSchema.typeName) {
        authenticator.deviceRevoked(fromBinary(DeviceRevokedSchema, data).deviceId);
      } else {
        authenticator.apiKeyRevoked(fromBinary(ApiKeyRevokedSchema, data).apiKeyId);
      }
    },
  });
}
