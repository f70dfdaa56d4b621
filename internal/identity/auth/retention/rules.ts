import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { familiarMs } from "../lockout/rules.ts";
import type { SigningKeys } from "../token/signing-keys.ts";

const everyMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** A session is kept so long after its end: longer than its last access token lives, so that it can be revoked till then. */
const endedSessionMs = dayMs;
/** A key that was revoked or has expired is listed so long. */
const endedKeyMs = 400 * dayMs;
/** A device whose activation code was not used is kept so long after the code's end, a revoked one as long as an API key. */
const unusedDeviceMs = dayMs;
/** Rows removed from a table in one turn; more a minute than sign-ins can add, since each costs a password's hash. */
const rowsMax = 20_000;

/** Removes what has ended: in one process at a time, a bounded number of rows a turn. */
export function createPruning(deps: {
  readonly database: Database;
  readonly keys: SigningKeys;
  readonly clock: Clock;
  readonly log: Logger;
}): Component & { /** One turn. */ readonly prune: () => Promise<void> } {
  const { database, keys, clock, log } = deps;
  const prune = (): Promise<void> =>
    database.transaction(async (tx) => {
      const [lock] = await tx<{ held: boolean }[]>`
        SELECT pg_try_advisory_xact_lock(hashtext('muin auth pruning')) AS held`;
      if (lock?.held !== true) return;
      const nowMs = clock.now();
      const before = (ms: number): Date => new Date(nowMs - ms);
      await tx`
        DELETE FROM sessions WHERE session_id IN
          (SELECT session_id FROM sessions WHERE end_time < ${before(endedSessionMs)} OR expire_time < ${before(endedSessionMs)}
            LIMIT ${rowsMax})`;
      await tx`
        DELETE FROM sign_in_failures WHERE subject_hash IN
          (SELECT subject_hash FROM sign_in_failures
            WHERE window_end_time < ${before(0)} AND (lock_end_time IS NULL OR lock_end_time < ${before(0)})
            LIMIT ${rowsMax})`;
      await tx`
        DELETE FROM familiar_networks WHERE (user_id, network_hash) IN
          (SELECT user_id, network_hash FROM familiar_networks WHERE use_time < ${before(familiarMs)} LIMIT ${rowsMax})`;
      await tx`
        DELETE FROM api_keys WHERE api_key_id IN
          (SELECT api_key_id FROM api_keys
            WHERE revoke_time < ${before(endedKeyMs)} OR expire_time < ${before(endedKeyMs)} LIMIT ${rowsMax})`;
      await tx`
        DELETE FROM sign_in_challenges WHERE challenge_hash IN
          (SELECT challenge_hash FROM sign_in_challenges WHERE expire_time < ${before(0)} LIMIT ${rowsMax})`;
      // A token that has ended still counts among the mails of an hour.
      await tx`
        DELETE FROM mail_tokens WHERE token_hash IN
          (SELECT token_hash FROM mail_tokens WHERE expire_time < ${before(hourMs)} LIMIT ${rowsMax})`;
      await tx`
        DELETE FROM devices WHERE device_id IN
          (SELECT device_id FROM devices
            WHERE (activate_time IS NULL AND activation_expire_time < ${before(unusedDeviceMs)})
              OR revoke_time < ${before(endedKeyMs)} LIMIT ${rowsMax})`;
      // The schema keeps the retention: it refuses to remove a younger row.
      await tx`
        DELETE FROM audit_log WHERE audit_id IN
          (SELECT audit_id FROM audit_log WHERE create_time < now() - interval '400 days' LIMIT ${rowsMax})`;
      await keys.prune(tx);
    });
  const loop = createLoop({
    name: "auth pruning",
    everyMs,
    clock,
    work: prune,
    onFailure: (error) => log.warn("what has ended could not be removed", { err: error }),
  });
  return { ...loop, prune };
}
