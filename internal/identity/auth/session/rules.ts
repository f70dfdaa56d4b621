import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { Action, AuditStore } from "../audit/store.ts";
import type { AuthConfig } from "../config.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import { publishSessionRevoked, type AuthPublish } from "../events.ts";
import { scopesOfPerson } from "../scope/rules.ts";
import type { ScopeStore } from "../scope/store.ts";
import type { Vault } from "../secret/vault.ts";
import type { TokenIssuer } from "../token/issuer.ts";
import { mintRefreshToken } from "./refresh-token.ts";
import type { Session, SessionStore } from "./store.ts";

/** Live sessions of a person; a further one ends the one that was longest unused. */
const sessionsPerPersonMax = 100;

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

/** Where sessions end: their rows, the events that tell of it, and the time. */
export interface EndSessionDeps {
  readonly store: Pick<SessionStore, "end">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
}

/** The sessions of a database, with access tokens from `tokens`. */
export function createSessions(
  deps: EndSessionDeps & {
    readonly database: Database;
    readonly store: SessionStore;
    readonly scopes: Pick<ScopeStore, "find">;
    readonly audit: Pick<AuditStore, "append">;
    readonly vault: Vault;
    readonly tokens: Pick<TokenIssuer, "issueAccess">;
    readonly random: Random;
    readonly config: SessionLifeConfig;
  },
): Sessions {
  const { database, store, scopes, audit, vault, tokens, clock, random, config } = deps;

  const handOut: Sessions["handOut"] = async (userId, { sessionId, refreshToken, refreshExpireTimeMs }) => {
    const held = await scopesOfPerson(scopes, database.sql, userId);
    const access = await tokens.issueAccess({ userId, sessionId, scopes: held.scopes });
    return { accessToken: access.token, accessExpireTimeMs: access.expireTimeMs, refreshToken, refreshExpireTimeMs };
  };

  return {
    open: async (tx, userId, client) => {
      const nowMs = clock.now();
      const surplus = await store.unusedOfPerson(tx, userId, nowMs, sessionsPerPersonMax - 1);
      for (const sessionId of surplus) await endSession(tx, deps, sessionId);
      const sessionId = random.uuid();
      const token = mintRefreshToken(vault, random, sessionId);
      const expireTimeMs = expireTimeOf(config, nowMs, nowMs);
      const { userAgent, address } = client;
      const times = { createTimeMs: nowMs, useTimeMs: nowMs, expireTimeMs };
      await store.insert(tx, { sessionId, userId, userAgent, address, refreshHash: token.hash, ...times });
      return { sessionId, refreshToken: token.text, refreshExpireTimeMs: expireTimeMs };
    },

    handOut,

    end: async (userId, sessionId, client, action) => {
      if (!isUuid(sessionId)) return refuse("sessionNotYours");
      return database.transaction(async (tx) => {
        const session = await store.lock(tx, sessionId);
        if (session?.userId !== userId) return refuse("sessionNotYours");
        if (session.isEnded) return undefined;
        await endSession(tx, deps, sessionId);
        await audit.append(tx, { action, outcome: "DONE", client, subject: `session:${sessionId}` }, clock.now());
        return undefined;
      });
    },

    endAll: async (tx, userId, keptSessionId = "") => {
      for (const sessionId of await store.lockOfPerson(tx, userId, keptSessionId))
        await endSession(tx, deps, sessionId);
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

/** How long sessions last. */
export type SessionLifeConfig = Pick<AuthConfig, "refreshTokenLifeMs" | "sessionLifeMs">;

/** When a session that is used now ends unless it is used again, in milliseconds since 1970: never after its whole life. */
export function expireTimeOf(config: SessionLifeConfig, createTimeMs: number, nowMs: number): number {
  return Math.min(nowMs + config.refreshTokenLifeMs, createTimeMs + config.sessionLifeMs);
}

/** Ends a session, with its event; one that has ended stays so. */
export async function endSession(tx: Transaction, deps: EndSessionDeps, sessionId: string): Promise<void> {
  const nowMs = deps.clock.now();
  const ended = await deps.store.end(tx, sessionId, nowMs);
  if (ended === undefined) return;
  // A clock that was ahead, and was put back since, may have issued its last token.
  const untilMs = Math.max(nowMs, ended.useTimeMs);
  await publishSessionRevoked(tx, deps.publish, sessionId, ended.version, untilMs);
}
