import { createHash } from "node:crypto";
import { scopes } from "../../../gen/scopes.ts";
import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { createFailedLookups } from "../../../platform/identity/failed-lookups.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import { bootstrapSecretPrefix, serviceTokenLifeMsMax } from "../../../platform/identity/token-claims.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { refuse } from "../errors.ts";
import { publishServiceWithdrawn, type AuthPublish } from "../events.ts";
import type { IssuedToken, TokenIssuer } from "../token/issuer.ts";
import type { BootstrapSecret, BootstrapStore } from "./store.ts";

const secretBytes = 32;
const secretForm = new RegExp(`^${bootstrapSecretPrefix}[A-Za-z0-9_-]{43}$`);

/** Of one network, so many secrets that are nobody's are looked for in a minute; beyond, one each second. */
const failuresMax = 60;
const failureWindowMs = 60_000;
const reservedEveryMs = 1000;
const networksMax = 10_000;
/** Secrets that are remembered as somebody's: these are looked for whatever others of their network guess. */
const knownMax = 1000;

/** The secrets by which the processes of services get their tokens. */
export interface BootstrapSecrets {
  /**
   * Makes a service's secret, instead of the one before. Only for who holds every scope, since they are given what the service may
   * do; `held` are the caller's.
   */
  issue(serviceName: string, held: ReadonlySet<string>, client: ClientInfo): Promise<string | Refusal<"scopeMissing">>;
  /** All, by the name of the service. */
  list(): Promise<readonly BootstrapSecret[]>;
  /**
   * Takes a service's secret away and ends its tokens, those too that it got since it was withdrawn before. Only for who holds every
   * scope, as to issue: it acts on who may do what the service may.
   */
  withdraw(
    serviceName: string,
    held: ReadonlySet<string>,
    client: ClientInfo,
  ): Promise<Refusal<"scopeMissing" | "serviceUnknown"> | undefined>;
  /** A token for the service whose secret this is. */
  renew(
    secret: string,
    client: ClientInfo,
  ): Promise<IssuedToken | Refusal<"bootstrapSecretInvalid" | "tooManyFailedSecrets">>;
}

/** The secrets of a database, which keeps hashes of them. Failed look-ups are counted, and good secrets known, in this process. */
export function createBootstrapSecrets(deps: {
  readonly database: Database;
  readonly store: BootstrapStore;
  readonly audit: Pick<AuditStore, "append">;
  readonly tokens: Pick<TokenIssuer, "issueService">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
  readonly random: Random;
}): BootstrapSecrets {
  const { database, store, audit, tokens, publish, clock, random } = deps;
  const failed = createFailedLookups({
    failuresMax,
    windowMs: failureWindowMs,
    reservedEveryMs,
    subjectsMax: networksMax,
    clock,
  });
  const known = createLruMap<true>(knownMax);

  return {
    issue: async (serviceName, held, client) => {
      const refused = refuseWithout(held);
      if (refused !== undefined) return refused;
      const secret = `${bootstrapSecretPrefix}${Buffer.from(random.bytes(secretBytes)).toString("base64url")}`;
      const nowMs = clock.now();
      await database.transaction(async (tx) => {
        await store.put(tx, serviceName, hashOf(secret), nowMs);
        const act = { action: "ISSUE_BOOTSTRAP_SECRET", outcome: "DONE", client } as const;
        await audit.append(tx, { ...act, subject: `service:${serviceName}` }, nowMs);
      });
      return secret;
    },

    list: () => store.list(database.sql),

    withdraw: async (serviceName, held, client) => {
      const refused = refuseWithout(held);
      if (refused !== undefined) return refused;
      return database.transaction(async (tx) => {
        const known = await store.lock(tx, serviceName);
        if (known === undefined) return refuse("serviceUnknown", { service: serviceName });
        // Another process, whose clock is ahead, may have issued the last token, of this secret or one before, or have withdrawn the service.
        const nowMs = Math.max(clock.now(), known.issueTimeMs, known.renewTimeMs ?? 0, known.withdrawTimeMs ?? 0);
        const version = await store.withdraw(tx, serviceName, nowMs);
        await publishServiceWithdrawn(tx, publish, serviceName, version, nowMs);
        const act = { action: "WITHDRAW_SERVICE", outcome: "DONE", client } as const;
        await audit.append(tx, { ...act, subject: `service:${serviceName}` }, nowMs);
        return undefined;
      });
    },

    renew: async (secret, client) => {
      if (!secretForm.test(secret)) return refuse("bootstrapSecretInvalid");
      const network = networkOf(client.address);
      const secretHash = hashOf(secret);
      const key = Buffer.from(secretHash).toString("base64");
      const isKnown = known.get(key) === true;
      if (!isKnown && !failed.charge(network)) return refuse("tooManyFailedSecrets");
      // What is compared is a hash of 256 random bits: how long that takes tells nothing of a secret.
      const found = await database.transaction(async (tx) => {
        const kept = await store.lockByHash(tx, secretHash);
        if (kept === undefined) return undefined;
        const issueMs = Math.max(clock.now(), afterSecondOf(kept.withdrawTimeMs));
        await store.markRenewed(tx, kept.serviceName, issueMs);
        return { serviceName: kept.serviceName, issueMs };
      });
      if (found === undefined) {
        known.delete(key); // From now on it is a guess.
        return refuse("bootstrapSecretInvalid");
      }
      known.set(key, true);
      if (!isKnown) failed.forgive(network);
      return tokens.issueService(found.serviceName, serviceTokenLifeMsMax, found.issueMs);
    },
  };
}

/** Refuses who does not hold every scope. */
function refuseWithout(held: ReadonlySet<string>): Refusal<"scopeMissing"> | undefined {
  const missing = scopes.find((scope) => !held.has(scope));
  return missing === undefined ? undefined : refuse("scopeMissing", { scope: missing });
}

/** Whether a service was withdrawn and got no new secret since. */
export function isWithdrawn({ secretHash, withdrawTimeMs }: BootstrapSecret): boolean {
  return secretHash === undefined && withdrawTimeMs !== undefined;
}

/** Tokens tell whole seconds: one that is issued within the second of a withdrawal would count as one from before it. */
export function afterSecondOf(withdrawTimeMs: number | undefined): number {
  return withdrawTimeMs === undefined ? 0 : (Math.floor(withdrawTimeMs / 1000) + 1) * 1000;
}

function hashOf(secret: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}
