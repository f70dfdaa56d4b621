import type { Random } from "../../../platform/clock/random.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { Vault } from "../secret/vault.ts";
import {
  clientHash,
  judgeRefresh,
  mintRefreshToken,
  openSuccessor,
  parseRefreshToken,
  refreshGraceMs,
  sealSuccessor,
  type RefreshToken,
} from "./refresh-token.ts";
import {
  endSession,
  expireTimeOf,
  type EndSessionDeps,
  type OpenedSession,
  type SessionLifeConfig,
  type Sessions,
  type Tokens,
} from "./rules.ts";
import type { LockedSession, RefreshGrace, SessionStore } from "./store.ts";

/** Exchanged tokens remembered for the grace, per session. */
const gracesPerSessionMax = 16;

/** Exchanges refresh tokens, each for one successor. Reuse ends the session; an account whose address is not proven gets no tokens. */
export interface Refreshes {
  refresh(text: string, client: ClientInfo): Promise<Tokens | Refusal<"refreshTokenInvalid" | "emailNotVerified">>;
}

/** What a refresh works on: the sessions of a database, and the keys and life of their tokens. */
export interface RefreshDeps extends EndSessionDeps {
  readonly database: Database;
  readonly store: Pick<SessionStore, "lock" | "findGrace" | "rotate" | "addGrace" | "end">;
  readonly accounts: Pick<AccountStore, "find">;
  readonly audit: Pick<AuditStore, "append">;
  readonly vault: Vault;
  readonly sessions: Pick<Sessions, "handOut">;
  readonly random: Random;
  readonly config: SessionLifeConfig;
}

/** Refreshes the sessions of a database. */
export function createRefreshes(deps: RefreshDeps): Refreshes {
  const { database, store, accounts, vault, sessions, clock } = deps;
  return {
    refresh: async (text, client) => {
      const token = parseRefreshToken(vault, text);
      if (token === undefined) return refuse("refreshTokenInvalid");
      const presenter = clientHash(client.userAgent, networkOf(client.address));
      const outcome = await database.transaction(async (tx) => {
        const session = await store.lock(tx, token.sessionId);
        if (session === undefined) return refuse("refreshTokenInvalid");
        const { userId } = session;
        const grace = await store.findGrace(tx, token.sessionId, token.hash);
        const verdict = judgeRefresh(token, {
          nowMs: clock.now(),
          ended: session.isEnded,
          expireTimeMs: session.expireTimeMs,
          currentHash: session.refreshHash,
          grace,
          clientHash: presenter,
        });
        switch (verdict) {
          case "rotate":
          case "repeat":
            if ((await accounts.find(tx, userId))?.isEmailVerified === false) return refuse("emailNotVerified");
            if (verdict === "repeat") return { userId, opened: repeat(token, session, grace) };
            return { userId, opened: await rotate(tx, deps, token, session, presenter) };
          case "reuse":
            await endReused(tx, deps, token.sessionId, userId, client);
            return refuse("refreshTokenInvalid");
          case "refuse":
            return refuse("refreshTokenInvalid");
          default:
            return assertNever(verdict);
        }
      });
      return isRefusal(outcome) ? outcome : sessions.handOut(outcome.userId, outcome.opened);
    },
  };
}

/** Exchanges the good token for its successor, which the same client gets again within the grace. */
async function rotate(
  tx: Transaction,
  { store, vault, clock, random, config }: RefreshDeps,
  token: RefreshToken,
  session: LockedSession,
  presenter: Uint8Array,
): Promise<OpenedSession> {
  const { sessionId } = token;
  const nowMs = clock.now();
  const successor = mintRefreshToken(vault, random, sessionId);
  const expireTimeMs = expireTimeOf(config, session.createTimeMs, nowMs);
  await store.rotate(tx, sessionId, { refreshHash: successor.hash, useTimeMs: nowMs, expireTimeMs });
  const successorSealed = sealSuccessor(token, successor, random);
  const grace = { refreshHash: token.hash, sessionId, successorSealed, clientHash: presenter, rotateTimeMs: nowMs };
  await store.addGrace(tx, grace, nowMs - refreshGraceMs, gracesPerSessionMax);
  return { sessionId, refreshToken: successor.text, refreshExpireTimeMs: expireTimeMs };
}

/** The successor that was given before. */
function repeat(token: RefreshToken, session: LockedSession, grace: RefreshGrace | undefined): OpenedSession {
  return {
    sessionId: token.sessionId,
    refreshToken: grace === undefined ? "" : openSuccessor(token, grace.successorSealed),
    refreshExpireTimeMs: session.expireTimeMs,
  };
}

/** Ends the family of a token that was used by two: one of them is a thief, and nobody knows which. */
async function endReused(
  tx: Transaction,
  deps: RefreshDeps,
  sessionId: string,
  userId: string,
  client: ClientInfo,
): Promise<void> {
  await endSession(tx, deps, sessionId);
  const act = { action: "REFRESH", outcome: "REFUSED", client, subject: `session:${sessionId}` } as const;
  await deps.audit.append(tx, { ...act, principal: `person:${userId}`, detail: "REUSED" }, deps.clock.now());
}
