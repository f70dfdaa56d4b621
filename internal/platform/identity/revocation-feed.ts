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
import type { IdentityKeeper, KeptRevocation } from "./identity-keeper.ts";
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
  /**
   * Tells the authenticator what an earlier process kept, and asks auth for what that did not hear. The keeper has started. `caughtUp` resolves once
   * the events are handled that were there at the start: where the process serves before, `isEarly`, revocations may not have been heard until then.
   */
  begin(options: { readonly caughtUp: Promise<void>; readonly isEarly: boolean }): Promise<void>;
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
    | "adoptKeys"
  >;
  /** Keeps what is told beyond the process. Default: nobody. */
  readonly keeper?: IdentityKeeper | undefined;
  /** All that ended before its time and of which a token may still live. Rejects when auth cannot be asked. */
  readonly revocations: () => AsyncIterable<Revocation>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): RevocationFeed {
  const { authenticator, keeper, clock } = options;
  /** Whether the process serves though it has not handled what was there when it started. */
  let isEarly = false;

  /** `time`: when it ended; of a pass, when it would have. */
  const revoked = (kind: KeptRevocation["kind"], id: string, time: Timestamp | undefined): void => {
    const untilMs = time === undefined ? clock.now() + (kind === "pass" ? entryPassLifeMsMax : 0) : timestampMs(time);
    const revocation = { kind, id, untilMs };
    tell(authenticator, revocation);
    keeper?.revoked(revocation);
  };
  const unheard = createUnheard({
    ...options,
    read: async () => {
      for await (const { subject, time, expireTime } of options.revocations()) {
        if (subject.case === "sessionId") revoked("session", subject.value, time);
        else if (subject.case === "deviceId") revoked("device", subject.value, time);
        else if (subject.case === "serviceName") revoked("service", subject.value, time);
        else if (subject.case === "entryPassId") revoked("pass", subject.value, expireTime);
      }
    },
    onRead: () => {
      keeper?.unheard(false);
      if (!isEarly) authenticator.revocationsRead();
    },
  });
  const noteMissed = (): void => {
    keeper?.unheard(true);
    authenticator.revocationsMissed();
    unheard.ask();
  };
  const noteCaughtUp = (): void => {
    isEarly = false;
    if (!unheard.isAsking()) authenticator.revocationsRead();
  };
  return {
    schemas: revocationSchemas,
    backMs: deviceRevocationLifeMs,
    missed: noteMissed,
    begin: async (start) => {
      const kept = keeper?.kept();
      for (const revocation of kept?.revocations ?? []) tell(authenticator, revocation);
      await authenticator.adoptKeys(kept?.keys ?? []);
      if (kept?.isUnheard === true) noteMissed();
      if (!start.isEarly) return;
      isEarly = true;
      authenticator.revocationsMissed();
      void start.caughtUp.then(noteCaughtUp);
    },
    stop: () => unheard.stop(),
    handle: async ({ type, data }) => {
      const { kind, id, time } = revocationIn(type, data);
      if (kind === "apiKey") authenticator.apiKeyRevoked(id);
      else revoked(kind, id, time);
    },
  };
}

function tell(
  authenticator: Pick<Authenticator, "sessionRevoked" | "deviceRevoked" | "entryPassRevoked" | "serviceWithdrawn">,
  { kind, id, untilMs }: KeptRevocation,
): void {
  if (kind === "session") authenticator.sessionRevoked(id, untilMs);
  else if (kind === "device") authenticator.deviceRevoked(id);
  else if (kind === "pass") authenticator.entryPassRevoked(id, untilMs);
  else authenticator.serviceWithdrawn(id, untilMs);
}

/** What an event says was revoked, and the time that matters of it. */
function revocationIn(type: string, data: Uint8Array) {
  if (type === SessionRevokedSchema.typeName) {
    const { sessionId, time } = fromBinary(SessionRevokedSchema, data);
    return { kind: "session", id: sessionId, time } as const;
  }
  if (type === DeviceRevokedSchema.typeName) {
    const { deviceId, time } = fromBinary(DeviceRevokedSchema, data);
    return { kind: "device", id: deviceId, time } as const;
  }
  if (type === ServiceWithdrawnSchema.typeName) {
    const { serviceName, time } = fromBinary(ServiceWithdrawnSchema, data);
    return { kind: "service", id: serviceName, time } as const;
  }
  if (type === EntryPassRevokedSchema.typeName) {
    const { entryPassId, expireTime } = fromBinary(EntryPassRevokedSchema, data);
    return { kind: "pass", id: entryPassId, time: expireTime } as const;
  }
  const { apiKeyId, time } = fromBinary(ApiKeyRevokedSchema, data);
  return { kind: "apiKey", id: apiKeyId, time } as const;
}

/** Asks auth for what was revoked unheard, until it has answered. */
function createUnheard({
  clock,
  random,
  log,
  read,
  onRead,
}: {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  read(this: void): Promise<void>;
  onRead(this: void): void;
}) {
  const stopping = new AbortController();
  /** How often it was told to ask, and what does. */
  let asked = 0;
  let asking: Promise<void> | undefined;
  const readAnew = async (): Promise<void> => {
    for (let upTo = 0; upTo !== asked;) {
      upTo = asked;
      await retry(read, {
        clock,
        random,
        ...readBackoff,
        isRetryable: () => true,
        onPause: (error) => log.warn("what was revoked unheard could not be asked of auth yet", { err: error }),
        signal: stopping.signal,
      });
    }
    asking = undefined;
    onRead();
    log.info("what may have been revoked unheard was read from auth");
  };
  return {
    ask: (): void => {
      asked += 1;
      asking ??= readAnew().catch(() => undefined); // It was stopped.
    },
    isAsking: (): boolean => asking !== undefined,
    stop: async (): Promise<void> => {
      stopping.abort();
      await asking;
    },
  };
}
