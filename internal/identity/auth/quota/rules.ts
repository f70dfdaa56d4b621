import type { Clock } from "../../../platform/clock/clock.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { AuthConfig } from "../config.ts";
import { refuse } from "../errors.ts";
import type { Vault } from "../secret/vault.ts";
import type { QuotaStore } from "./store.ts";

/** What is counted, each apart from the others: sign-ups, and mails by their kind. */
export type QuotaKind = "SIGN_UP" | "VERIFY_EMAIL" | "RESET_PASSWORD";

/** Bounds what one network, and all together, ask for within an hour, whatever comes of it. */
export interface NetworkQuotas {
  /**
   * Counts one use, in a transaction of its own: for the network, and in all for what goes out by mail. Refuses, and then counts
   * nothing, when either is used up. A call inside the process has no network (empty) and counts in all alone.
   */
  take(kind: QuotaKind, network: string): Promise<Refusal<"quotaExhausted"> | undefined>;
}

/** The settings that say how much is allowed. */
export type QuotaConfig = Pick<AuthConfig, "signUpsPerNetworkMax" | "mailsPerNetworkMax" | "mailsMax">;

/** The first use begins it. */
const windowMs = 3_600_000;

/** Rolls back what was counted for another subject of a use that is refused. */
class ExhaustedError extends Error {
  override readonly name = "ExhaustedError";
  readonly windowEndMs: number;

  constructor(windowEndMs: number) {
    super("a quota is used up");
    this.windowEndMs = windowEndMs;
  }
}

/** Quotas over the counts of a database, which all processes share. */
export function createNetworkQuotas(deps: {
  readonly database: Database;
  readonly store: QuotaStore;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly config: QuotaConfig;
}): NetworkQuotas {
  const { database, store, vault, clock, config } = deps;
  const perNetworkMax = {
    SIGN_UP: config.signUpsPerNetworkMax,
    VERIFY_EMAIL: config.mailsPerNetworkMax,
    RESET_PASSWORD: config.mailsPerNetworkMax,
  } as const satisfies Record<QuotaKind, number>;

  /** What a use is counted for. The row that all share comes last: it is held for the shortest time, and all lock in one order. */
  const subjectsOf = (kind: QuotaKind, network: string) => {
    const subjects: { readonly hash: Uint8Array; readonly max: number }[] = [];
    const hashOf = (subject: string): Uint8Array => vault.mac("quota", `${kind} ${subject}`);
    if (network !== "") subjects.push({ hash: hashOf(network), max: perNetworkMax[kind] });
    if (kind !== "SIGN_UP") subjects.push({ hash: hashOf(""), max: config.mailsMax });
    return subjects;
  };

  return {
    take: async (kind, network) => {
      const nowMs = clock.now();
      const subjects = subjectsOf(kind, network);
      try {
        // Looked at before anything is written: a flood of refusals neither waits for rows nor leaves dead ones.
        for (const { hash, max } of subjects) {
          const { uses, windowEndMs } = await store.read(database.sql, hash, { nowMs, windowMs });
          if (uses >= max) throw new ExhaustedError(windowEndMs);
        }
        await database.transaction(async (tx) => {
          for (const { hash, max } of subjects) {
            const { uses, windowEndMs } = await store.add(tx, hash, { nowMs, windowMs });
            if (uses > max) throw new ExhaustedError(windowEndMs);
          }
        });
      } catch (error) {
        if (!(error instanceof ExhaustedError)) throw error;
        return refuse("quotaExhausted", { retryAfterMs: error.windowEndMs - nowMs });
      }
      return undefined;
    },
  };
}
