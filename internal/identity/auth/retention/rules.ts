import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { tryLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { ApiKeyStore } from "../api-key/store.ts";
import type { AuditStore } from "../audit/store.ts";
import type { AuthConfig } from "../config.ts";
import type { DeviceStore } from "../device/store.ts";
import type { EntryPassStore } from "../entry-pass/store.ts";
import type { FactorStore } from "../factor/store.ts";
import { familiarMs } from "../lockout/policy.ts";
import type { LockoutStore } from "../lockout/store.ts";
import type { MailStore } from "../mail/store.ts";
import type { NewcomerStore } from "../newcomer/store.ts";
import type { QuotaStore } from "../quota/store.ts";
import type { SessionStore } from "../session/store.ts";
import type { SigningKeys } from "../token/signing-keys.ts";

const everyMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** A session is kept so long after its end: longer than its last access token lives, so that it can be revoked till then. */
const endedSessionMs = dayMs;
/** A key that was revoked or has expired, and a device that was revoked, are listed so long. */
const endedKeyMs = 400 * dayMs;
/** A device whose activation code was not used is kept so long after the code's end. */
const unusedDeviceMs = dayMs;
/** An entry pass is kept so long after its time: longer than its revocation matters. */
const endedPassMs = 2 * dayMs;
/** A mail's token that has ended still counts among the mails of an hour. */
const endedMailTokenMs = hourMs;
/** Rows removed from a table in one turn; more a minute than sign-ins can add, since each costs a password's hash. */
const rowsMax = 20_000;

/** Removes what has ended: in one process at a time, a bounded number of rows a turn. */
export function createPruning(deps: {
  readonly database: Database;
  readonly sessions: Pick<SessionStore, "prune">;
  readonly lockout: Pick<LockoutStore, "prune">;
  readonly quotas: Pick<QuotaStore, "prune">;
  readonly apiKeys: Pick<ApiKeyStore, "prune">;
  readonly factors: Pick<FactorStore, "prune">;
  readonly mails: Pick<MailStore, "prune">;
  readonly newcomers: Pick<NewcomerStore, "prune">;
  readonly devices: Pick<DeviceStore, "prune">;
  readonly entryPasses: Pick<EntryPassStore, "prune">;
  readonly audit: Pick<AuditStore, "prune">;
  readonly keys: Pick<SigningKeys, "prune">;
  readonly config: Pick<AuthConfig, "auditRetentionDays">;
  readonly clock: Clock;
  readonly log: Logger;
}): Component & { /** One turn. */ readonly prune: () => Promise<void> } {
  const { database, sessions, lockout, quotas, apiKeys, factors, mails, newcomers, devices, audit, keys, clock, log } =
    deps;
  // By itself: who reads the log waits for it, and it for them.
  const pruneAudit = (): Promise<void> =>
    database.transaction(async (tx) => {
      if (await tryLock(tx, "muin auth audit pruning")) await audit.prune(tx, deps.config.auditRetentionDays, rowsMax);
    });
  const pruneOthers = (): Promise<void> =>
    database.transaction(async (tx) => {
      if (!(await tryLock(tx, "muin auth pruning"))) return;
      const nowMs = clock.now();
      await sessions.prune(tx, nowMs - endedSessionMs, rowsMax);
      await lockout.prune(tx, { nowMs, familiarSinceMs: nowMs - familiarMs }, rowsMax);
      await quotas.prune(tx, nowMs, rowsMax);
      await apiKeys.prune(tx, nowMs - endedKeyMs, rowsMax);
      await factors.prune(tx, nowMs, rowsMax);
      await mails.prune(tx, nowMs - endedMailTokenMs, rowsMax);
      await newcomers.prune(tx, nowMs, rowsMax);
      const ended = { unusedBeforeMs: nowMs - unusedDeviceMs, revokedBeforeMs: nowMs - endedKeyMs };
      await devices.prune(tx, ended, rowsMax);
      await deps.entryPasses.prune(tx, nowMs - endedPassMs, rowsMax);
      await keys.prune(tx);
    });
  const prune = async (): Promise<void> => {
    await pruneOthers();
    await pruneAudit();
  };
  const loop = createLoop({
    name: "auth pruning",
    everyMs,
    clock,
    work: prune,
    onFailure: (error) => log.warn("what has ended could not be removed", { err: error }),
  });
  return { ...loop, prune };
}
