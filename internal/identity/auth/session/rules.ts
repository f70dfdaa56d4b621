import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { Action, AuditStore } from "../audit/store.ts";
import type { AuthConfig } from "../config.ts";
import { isRefusal, refuse, type Refusal } from "../errors.ts";
import { publishSessionRevoked, type AuthPublish } from "../events.ts";
import { networkOf } from "../lockout/network.ts";
import { scopesOfPerson } from "../scope/rules.ts";
import type { ScopeStore } from "../scope/store.ts";
import type { Vault } from "../secret/vault.ts";
import type { TokenIssuer } from "../token/issuer.ts";
import {
  clientHash,
  judgeRefresh,
  mintRefreshToken,
  openSuccessor,
  parseRefreshToken,
  refreshGraceMs,
  sealSuccessor,
  type RefreshToken,
} from "../token/refresh.ts";
import type { LockedSession, RefreshGrace, Session, SessionStore } from "./store.ts";

/** Live sessions of a person; a further one ends the one that was longest unused. */
export const sessionsPerPersonMax = 100;
/** Exchanged tokens remembered for the grace, per session. */
const gracesPerSessionMax = 16;

/** A session's tokens, as they are handed out. */
export interface Tokens {
  readonly accessToken: string;
  readonly accessExpireTimeMs: number;
  readonly refreshToken: string;
  readonly refreshExpireTimeMs: number;
}

/** A session that was just opened or refreshed and has no access token yet. */
export interface OpenedSession {
  readonly sessionId: string;
  readonly refreshToken: string;
  readonly refreshExpireTimeMs: number;
}

/** A page of a person's live sessions, newest first. */
export interface SessionPage {
  readonly page: readonly Session[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** The rules of sessions. A session is the family of its refresh tokens. */
export interface Sessions {
  /** Opens a session. `tx` must hold the lock of the account's row. */
  open(tx: Transaction, userId: string, client: ClientInfo): Promise<OpenedSession>;
  /** Signs an access token for an opened session: after its transaction has committed. */
  handOut(userId: string, opened: OpenedSession): Promise<Tokens>;
  /** Exchanges a refresh token. Reuse ends the session. */
  refresh(text: string, client: ClientInfo): Promise<Tokens | Refusal<"refreshTokenInvalid">>;
  /** Ends a session of the person; one that has ended stays so. Refused when they never had it. */
  end(
    userId: string,
    sessionId: string,
    client: ClientInfo,
    action: Action,
  ): Promise<Refusal<"sessionNotYours"> | undefined>;
  /** Ends all sessions of the person, but one when it is named. `tx` must hold the lock of the account's row. */
  endAll(tx: Transaction, userId: string, keptSessionId?: string): Promise<void>;
  /** Live sessions of a person. */
  list(userId: string, page: { readonly pageSize: number; readonly pageToken: string }): Promise<SessionPage>;
}

/** The sessions of a database, with access tokens from `tokens`. */
export function createSessions(deps: {
  readonly database: Database;
  readonly store: SessionStore;
  readonly scopes: Pick<ScopeStore, "find">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly tokens: Pick<TokenIssuer, "issueAccess">;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<AuthConfig, "refreshTokenLifeMs" | "sessionLifeMs">;
}): Sessions {
  const { database, store, scopes, audit, publish, vault, tokens, clock, random, config } = deps;

  const endOne = async (tx: Transaction, sessionId: string): Promise<void> => {
    const nowMs = clock.now();
    const version = await store.end(tx, sessionId, nowMs);
    if (version !== undefined) await publishSessionRevoked(tx, publish, sessionId, version, nowMs);
  };
  const expireTimeOf = (createTimeMs: number, nowMs: number): number =>
    Math.min(nowMs + config.refreshTokenLifeMs, createTimeMs + config.sessionLifeMs);
  const handOut: Sessions["handOut"] = async (userId, { sessionId, refreshToken, refreshExpireTimeMs }) => {
    const held = await scopesOfPerson(scopes, database.sql, userId);
    const access = await tokens.issueAccess({ userId, sessionId, scopes: held.scopes });
    return { accessToken: access.token, accessExpireTimeMs: access.expireTimeMs, refreshToken, refreshExpireTimeMs };
  };

  const rotate = async (
    tx: Transaction,
    token: RefreshToken,
    session: LockedSession,
    presenter: Uint8Array,
  ): Promise<OpenedSession> => {
    const { sessionId } = token;
    const nowMs = clock.now();
    const successor = mintRefreshToken(vault, random, sessionId);
    const expireTimeMs = expireTimeOf(session.createTimeMs, nowMs);
    await store.rotate(tx, sessionId, { refreshHash: successor.hash, useTimeMs: nowMs, expireTimeMs });
    const successorSealed = sealSuccessor(token, successor, random);
    const grace = { refreshHash: token.hash, sessionId, successorSealed, clientHash: presenter, rotateTimeMs: nowMs };
    await store.addGrace(tx, grace, nowMs - refreshGraceMs, gracesPerSessionMax);
    return { sessionId, refreshToken: successor.text, refreshExpireTimeMs: expireTimeMs };
  };

  /** Ends the family of a token that was used by two: one of them is a thief, and nobody knows which. */
  const endReused = async (tx: Transaction, sessionId: string, userId: string, client: ClientInfo): Promise<void> => {
    await endOne(tx, sessionId);
    const act = { action: "REFRESH", outcome: "REFUSED", client, subject: `session:${sessionId}` } as const;
    await audit.append(tx, { ...act, principal: `person:${userId}`, detail: "REUSED" }, clock.now());
  };

  return {
    open: async (tx, userId, client) => {
      const nowMs = clock.now();
      const surplus = await store.unusedOfPerson(tx, userId, nowMs, sessionsPerPersonMax - 1);
      for (const sessionId of surplus) await endOne(tx, sessionId);
      const sessionId = random.uuid();
      const token = mintRefreshToken(vault, random, sessionId);
      const expireTimeMs = expireTimeOf(nowMs, nowMs);
      const { userAgent, address } = client;
      const times = { createTimeMs: nowMs, useTimeMs: nowMs, expireTimeMs };
      await store.insert(tx, { sessionId, userId, userAgent, address, refreshHash: token.hash, ...times });
      return { sessionId, refreshToken: token.text, refreshExpireTimeMs: expireTimeMs };
    },

    handOut,

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
            return { userId, opened: await rotate(tx, token, session, presenter) };
          case "repeat":
            return { userId, opened: repeat(token, session, grace) };
          case "reuse":
            await endReused(tx, token.sessionId, userId, client);
            return refuse("refreshTokenInvalid");
          case "refuse":
            return refuse("refreshTokenInvalid");
          default:
            return assertNever(verdict);
        }
      });
      return isRefusal(outcome) ? outcome : handOut(outcome.userId, outcome.opened);
    },

    end: async (userId, sessionId, client, action) => {
      if (!isUuid(sessionId)) return refuse("sessionNotYours");
      return database.transaction(async (tx) => {
        const session = await store.lock(tx, sessionId);
        if (session?.userId !== userId) return refuse("sessionNotYours");
        if (session.isEnded) return undefined;
        await endOne(tx, sessionId);
        await audit.append(tx, { action, outcome: "DONE", client, subject: `session:${sessionId}` }, clock.now());
        return undefined;
      });
    },

    endAll: async (tx, userId, keptSessionId = "") => {
      for (const sessionId of await store.lockOfPerson(tx, userId, keptSessionId)) await endOne(tx, sessionId);
    },

    list: (userId, page) =>
      pageOf(
        ["ListSessions", userId],
        page,
        (before, limit) => store.list(database.sql, userId, clock.now(), before, limit),
        (session) => session.sessionId,
        isUuid,
      ),
  };
}

/** The successor that was given before. */
function repeat(token: RefreshToken, session: LockedSession, grace: RefreshGrace | undefined): OpenedSession {
  return {
    sessionId: token.sessionId,
    refreshToken: grace === undefined ? "" : openSuccessor(token, grace.successorSealed),
    refreshExpireTimeMs: session.expireTimeMs,
  };
}
