import { fromBinary, type DescMessage } from "@bufbuild/protobuf";
import { timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import {
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  EntryPassRevokedSchema,
  ServiceWithdrawnSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import type { Revocation } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { retry } from "../lifecycle/retry.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Authenticator } from "./authenticator.ts";
import { entryPassLifeMsMax } from "./token-claims.ts";
import { deviceRevocationLifeMs } from "./token-verifier.ts";

/** Pause before auth is asked again for what was revoked unheard. */
const readBackoff = { minMs: 100, maxMs: 2000 };

/** How an authenticator is told of every session, API key, device, service and entry pass that ends before its time. */
export interface RevocationFeed {
  /** The events to read, all of one topic. */
  readonly schemas: readonly [DescMessage, ...DescMessage[]];
  /** How far to read back, in milliseconds: further than any token lives, so that every revocation that still matters is known. */
  readonly backMs: number;
  /** Events were removed before they were handled: what they told is asked of auth, beside, until it has answered. */
  missed(): void;
  /** Asks no more. */
  stop(): Promise<void>;
  /** Takes an event of `schemas`: the full name of its message, and the message. */
  handle(event: { readonly type: string; readonly data: Uint8Array }): Promise<void>;
}

/** The events that end credentials. */
export const revocationSchemas = [
  SessionRevokedSchema,
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  ServiceWithdrawnSchema,
  EntryPassRevokedSchema,
] as const;

/** Makes the feed of an authenticator. */
export function createRevocationFeed(options: {
  readonly authenticator: Pick<
    Authenticator,
    | "sessionRevoked"
    | "apiKeyRevoked"
    | "deviceRevoked"
    | "serviceWithdrawn"
    | "entryPassRevoked"
    | "revocationsMissed"
    | "revocationsRead"
  >;
  /** All that ended before its time and of which a token may still live. Rejects when auth cannot be asked. */
  readonly revocations: () => AsyncIterable<Revocation>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): RevocationFeed {
  const { authenticator, clock, random, log } = options;
  const stopping = new AbortController();
  /** How often events were missed, and what asks for what they told. */
  let missed = 0;
  let reading: Promise<void> | undefined;

  const passEndMs = (expireTime: Timestamp | undefined): number =>
    expireTime === undefined ? clock.now() + entryPassLifeMsMax : timestampMs(expireTime);
  const read = async (): Promise<void> => {
    for await (const { subject, time, expireTime } of options.revocations()) {
      const untilMs = time === undefined ? clock.now() : timestampMs(time);
      if (subject.case === "sessionId") authenticator.sessionRevoked(subject.value, untilMs);
      else if (subject.case === "deviceId") authenticator.deviceRevoked(subject.value);
      else if (subject.case === "serviceName") authenticator.serviceWithdrawn(subject.value, untilMs);
      else if (subject.case === "entryPassId") authenticator.entryPassRevoked(subject.value, passEndMs(expireTime));
    }
  };
  const readAnew = async (): Promise<void> => {
    for (let upTo = 0; upTo !== missed;) {
      upTo = missed;
      await retry(read, {
        clock,
        random,
        ...readBackoff,
        isRetryable: () => true,
        onPause: (error) => log.warn("what was revoked unheard could not be asked of auth yet", { err: error }),
        signal: stopping.signal,
      });
    }
    reading = undefined;
    authenticator.revocationsRead();
    log.info("what may have been revoked unheard was read from auth");
  };
  return {
    schemas: revocationSchemas,
    backMs: deviceRevocationLifeMs,
    missed: () => {
      missed += 1;
      authenticator.revocationsMissed();
      reading ??= readAnew().catch(() => undefined); // It was stopped.
    },
    stop: async () => {
      stopping.abort();
      await reading;
    },
    handle: async ({ type, data }) => {
      if (type === SessionRevokedSchema.typeName) {
        const { sessionId, time } = fromBinary(SessionRevokedSchema, data);
        authenticator.sessionRevoked(sessionId, time === undefined ? clock.now() : timestampMs(time));
      } else if (type === DeviceRevokedSchema.typeName) {
        authenticator.deviceRevoked(fromBinary(DeviceRevokedSchema, data).deviceId);
      } else if (type === ServiceWithdrawnSchema.typeName) {
        const { serviceName, time } = fromBinary(ServiceWithdrawnSchema, data);
        authenticator.serviceWithdrawn(serviceName, time === undefined ? clock.now() : timestampMs(time));
      } else if (type === EntryPassRevokedSchema.typeName) {
        const { entryPassId, expireTime } = fromBinary(EntryPassRevokedSchema, data);
        authenticator.entryPassRevoked(entryPassId, passEndMs(expireTime));
      } else {
        authenticator.apiKeyRevoked(fromBinary(ApiKeyRevokedSchema, data).apiKeyId);
      }
    },
  };
}
