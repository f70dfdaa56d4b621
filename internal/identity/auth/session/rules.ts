import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { recordAct, type Action } from "../audit/log.ts";
import { networkOf, type ClientInfo } from "../audit/client.ts";
import type { AuthConfig } from "../config.ts";
import { badRefreshToken, notYourSession } from "../errors.ts";
import { publishSessionRevoked, type AuthPublish } from "../events.ts";
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
import { scopesOfPerson } from "../scope/rules.ts";
import type { TokenIssuer } from "../token/issuer.ts";
import type { Vault } from "../secret/vault.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";

/** Live sessions of a person; a further one ends the one that was longest unused. */
export const sessionsPerPersonMax = 100;
/** Exchanged tokens remembered for the grace, per session. */
const gracesPerSessionMax = 16;

/** A session as its owner sees it. */
export interface Session {
  readonly sessionId: string;
  readonly userAgent: string;
  readonly address: string;
  readonly createTimeMs: number;
  readonly useTimeMs: number;
  readonly expireTimeMs: number;
}

/** A session's tokens, as they are handed out. */
export interface Tokens {
  readonly accessToken: string;
  readonly accessExpireTimeMs: number;
  readonly refreshToken: string;
  readonly refreshExpireTimeMs: number;
}

/** A session that was just opened and has no access token yet. */
export interface OpenedSession {
  readonly sessionId: string;
  readonly refreshToken: string;
  readonly refreshExpireTimeMs: number;
}

/** The rules of sessions. A session is the family of its refresh tokens. */
export interface Sessions {
  /** Opens a session. `tx` must hold the lock of the account's row. */
  open(tx: Transaction, userId: string, client: ClientInfo): Promise<OpenedSession>;
  /** Signs an access token for an opened session: after its transaction has committed. */
  handOut(userId: string, opened: OpenedSession): Promise<Tokens>;
  /** Exchanges a refresh token. Reuse ends the session. */
  refresh(text: string, client: ClientInfo): Promise<Tokens>;
  /** Ends a session of the person; one that has ended stays so. PERMISSION_DENIED when they never had it. */
  end(userId: string, sessionId: string, client: ClientInfo, action: Action): Promise<void>;
  /** Ends all sessions of the person, but one when it is named. `tx` must hold the lock of the account's row. */
  endAll(tx: Transaction, userId: string, keptSessionId?: string): Promise<void>;
  /** Live sessions, newest first, those before `beforeId` when it is given. */
  list(userId: string, pageSize: number, beforeId: string | undefined): Promise<readonly Session[]>;
}

/** Makes the rules. */
export function createSessions(deps: {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly tokens: TokenIssuer;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<AuthConfig, "refreshTokenLifeMs" | "sessionLifeMs">;
}): Sessions {
  const { database, publish, vault, tokens, clock, random, config } = deps;

  const endRow = async (tx: Transaction, sessionId: string): Promise<void> => {
    const nowMs = clock.now();
    const [row] = await tx<{ version: string }[]>`
      UPDATE sessions SET end_time = ${new Date(nowMs)}, version = version + 1
      WHERE session_id = ${sessionId} AND end_time IS NULL RETURNING version`;
    if (row === undefined) return;
    await tx`DELETE FROM refresh_graces WHERE session_id = ${sessionId}`;
    await publishSessionRevoked(tx, publish, sessionId, BigInt(row.version), nowMs);
  };
  const expireTimeOf = (createTimeMs: number, nowMs: number): number =>
    Math.min(nowMs + config.refreshTokenLifeMs, createTimeMs + config.sessionLifeMs);
  const handOut = async (userId: string, opened: OpenedSession): Promise<Tokens> => {
    const { scopes } = await scopesOfPerson(database.sql, userId);
    const { sessionId, refreshToken, refreshExpireTimeMs } = opened;
    const access = await tokens.issueAccess({ userId, sessionId, scopes });
    return {
      accessToken: access.token,
      accessExpireTimeMs: access.expireTimeMs,
      refreshToken,
      refreshExpireTimeMs,
    };
  };
  const rotate = async (
    tx: Transaction,
    token: RefreshToken,
    createTimeMs: number,
    client: Uint8Array,
  ): Promise<OpenedSession> => {
    const { sessionId } = token;
    const nowMs = clock.now();
    const successor = mintRefreshToken(vault, random, sessionId);
    const refreshExpireTimeMs = expireTimeOf(createTimeMs, nowMs);
    await tx`
      UPDATE sessions SET refresh_hash = ${successor.hash}, use_time = ${new Date(nowMs)},
        expire_time = ${new Date(refreshExpireTimeMs)}
      WHERE session_id = ${sessionId}`;
    await tx`
      DELETE FROM refresh_graces WHERE session_id = ${sessionId} AND (rotate_time < ${new Date(nowMs - refreshGraceMs)}
        OR refresh_hash NOT IN (SELECT refresh_hash FROM refresh_graces WHERE session_id = ${sessionId}
          ORDER BY rotate_time DESC LIMIT ${gracesPerSessionMax - 1}))`;
    await tx`
      INSERT INTO refresh_graces (refresh_hash, session_id, successor_sealed, client_hash, rotate_time)
      VALUES (${token.hash}, ${sessionId}, ${sealSuccessor(token, successor, random)}, ${client}, ${new Date(nowMs)})`;
    return { sessionId, refreshToken: successor.text, refreshExpireTimeMs };
  };

  return {
    open: async (tx, userId, client) => {
      const nowMs = clock.now();
      const live = await tx<{ session_id: string }[]>`
        SELECT session_id FROM sessions
        WHERE user_id = ${userId} AND end_time IS NULL AND expire_time > ${new Date(nowMs)}
        ORDER BY use_time DESC OFFSET ${sessionsPerPersonMax - 1}`;
      for (const row of live) await endRow(tx, row.session_id);
      const sessionId = random.uuid();
      const token = mintRefreshToken(vault, random, sessionId);
      const refreshExpireTimeMs = expireTimeOf(nowMs, nowMs);
      const now = new Date(nowMs);
      await tx`
        INSERT INTO sessions
          (session_id, user_id, user_agent, address, refresh_hash, version, create_time, use_time, expire_time)
        VALUES (${sessionId}, ${userId}, ${client.userAgent}, ${client.address}, ${token.hash}, 1, ${now}, ${now},
          ${new Date(refreshExpireTimeMs)})`;
      return { sessionId, refreshToken: token.text, refreshExpireTimeMs };
    },
    handOut,
    refresh: async (text, client) => {
      const token = parseRefreshToken(vault, text);
      if (token === undefined) throw badRefreshToken();
      const presenter = clientHash(client.userAgent, networkOf(client.address));
      const outcome = await database.transaction(async (tx) => {
        // The one lock: whoever holds this row alone decides what the presented token brings.
        const [session] = await tx<
          { user_id: string; refresh_hash: Uint8Array; create_time: Date; expire_time: Date; end_time: Date | null }[]
        >`
          SELECT user_id, refresh_hash, create_time, expire_time, end_time FROM sessions
          WHERE session_id = ${token.sessionId} FOR UPDATE`;
        if (session === undefined) return undefined;
        const [grace] = await tx<{ successor_sealed: Uint8Array; client_hash: Uint8Array; rotate_time: Date }[]>`
          SELECT successor_sealed, client_hash, rotate_time FROM refresh_graces
          WHERE refresh_hash = ${token.hash} AND session_id = ${token.sessionId}`;
        const userId = session.user_id;
        const verdict = judgeRefresh(token, {
          nowMs: clock.now(),
          ended: session.end_time !== null,
          expireTimeMs: session.expire_time.getTime(),
          currentHash: session.refresh_hash,
          grace: grace && { rotateTimeMs: grace.rotate_time.getTime(), clientHash: grace.client_hash },
          clientHash: presenter,
        });
        switch (verdict) {
          case "rotate":
            return { userId, opened: await rotate(tx, token, session.create_time.getTime(), presenter) };
          case "repeat": {
            const refreshToken = grace === undefined ? "" : openSuccessor(token, grace.successor_sealed);
            const refreshExpireTimeMs = session.expire_time.getTime();
            return { userId, opened: { sessionId: token.sessionId, refreshToken, refreshExpireTimeMs } };
          }
          case "reuse": {
            await endRow(tx, token.sessionId);
            const act = {
              action: "REFRESH",
              outcome: "REFUSED",
              client,
              subject: `session:${token.sessionId}`,
            } as const;
            await recordAct(tx, { ...act, principal: `person:${userId}`, detail: "REUSED" }, clock.now());
            return undefined;
          }
          case "refuse":
            return undefined;
          default:
            return assertNever(verdict);
        }
      });
      if (outcome === undefined) throw badRefreshToken();
      return handOut(outcome.userId, outcome.opened);
    },
    end: async (userId, sessionId, client, action) => {
      await database.transaction(async (tx) => {
        const [row] = await tx<{ end_time: Date | null }[]>`
          SELECT end_time FROM sessions WHERE session_id = ${sessionId} AND user_id = ${userId} FOR UPDATE`;
        if (row === undefined) throw notYourSession();
        if (row.end_time !== null) return;
        await endRow(tx, sessionId);
        await recordAct(tx, { action, outcome: "DONE", client, subject: `session:${sessionId}` }, clock.now());
      });
    },
    endAll: async (tx, userId, keptSessionId) => {
      const rows = await tx<{ session_id: string }[]>`
        SELECT session_id FROM sessions
        WHERE user_id = ${userId} AND end_time IS NULL AND session_id IS DISTINCT FROM ${keptSessionId ?? null}::uuid
        ORDER BY session_id FOR UPDATE`;
      for (const row of rows) await endRow(tx, row.session_id);
    },
    list: async (userId, pageSize, beforeId) => {
      const rows = await database.sql<
        {
          session_id: string;
          user_agent: string;
          address: string;
          create_time: Date;
          use_time: Date;
          expire_time: Date;
        }[]
      >`
        SELECT session_id, user_agent, address, create_time, use_time, expire_time FROM sessions
        WHERE user_id = ${userId} AND end_time IS NULL AND expire_time > ${new Date(clock.now())}
          AND session_id < coalesce(${beforeId ?? null}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY session_id DESC LIMIT ${pageSize}`;
      return rows.map((row) => ({
        sessionId: row.session_id,
        userAgent: row.user_agent,
        address: row.address,
        createTimeMs: row.create_time.getTime(),
        useTimeMs: row.use_time.getTime(),
        expireTimeMs: row.expire_time.getTime(),
      }));
    },
  };
}
