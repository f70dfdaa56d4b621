import { fromBinary, type DescMessage } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  ServiceWithdrawnSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Authenticator } from "./authenticator.ts";
import { deviceRevocationLifeMs } from "./token-verifier.ts";

/** How an authenticator is told of every session, API key, device and service that ends before its time. */
export interface RevocationFeed {
  /** The events to read, all of one topic. */
  readonly schemas: readonly [DescMessage, ...DescMessage[]];
  /** How far to read back, in milliseconds: further than any token lives, so that every revocation that still matters is known. */
  readonly backMs: number;
  /** Events were removed before they were handled. */
  missed(): void;
  /** Takes an event of `schemas`: the full name of its message, and the message. */
  handle(event: { readonly type: string; readonly data: Uint8Array }): Promise<void>;
}

/** The events that end credentials. */
export const revocationSchemas = [
  SessionRevokedSchema,
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  ServiceWithdrawnSchema,
] as const;

/** Makes the feed of an authenticator. */
export function createRevocationFeed(options: {
  readonly authenticator: Pick<
    Authenticator,
    "sessionRevoked" | "apiKeyRevoked" | "deviceRevoked" | "serviceWithdrawn" | "revocationsMissed"
  >;
  readonly clock: Pick<Clock, "now">;
}): RevocationFeed {
  const { authenticator, clock } = options;
  return {
    schemas: revocationSchemas,
    backMs: deviceRevocationLifeMs,
    missed: () => authenticator.revocationsMissed(),
    handle: async ({ type, data }) => {
      if (type === SessionRevokedSchema.typeName) {
        const { sessionId, time } = fromBinary(SessionRevokedSchema, data);
        authenticator.sessionRevoked(sessionId, time === undefined ? clock.now() : timestampMs(time));
      } else if (type === DeviceRevokedSchema.typeName) {
        authenticator.deviceRevoked(fromBinary(DeviceRevokedSchema, data).deviceId);
      } else if (type === ServiceWithdrawnSchema.typeName) {
        const { serviceName, time } = fromBinary(ServiceWithdrawnSchema, data);
        authenticator.serviceWithdrawn(serviceName, time === undefined ? clock.now() : timestampMs(time));
      } else {
        authenticator.apiKeyRevoked(fromBinary(ApiKeyRevokedSchema, data).apiKeyId);
      }
    },
  };
}
