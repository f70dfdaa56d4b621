import { timestampFromMs, timestampMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { ApiKeySchema, type ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { TokenPairSchema, type AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import type { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import type { ServiceTokenService } from "../../gen/muin/identity/v1/service_token_service_pb.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import { callerOf, personOf } from "../../platform/identity/caller.ts";
import { tokenAlgorithm } from "../../platform/identity/token-claims.ts";
import type { Database } from "../../platform/postgres/database.ts";
import type { Accounts } from "./account.ts";
import type { ApiKey, ApiKeys } from "./api-key.ts";
import { recordAct } from "./audit-log.ts";
import { clientOf } from "./client.ts";
import { noDiscovery, scopeNotHeld, notYourSession, apiKeyNotFound } from "./errors.ts";
import type { PersonKeys } from "./person-key.ts";
import { idOfPage, isUuid, pageSizeOf, scopesHeldBy } from "./request.ts";
import { scopes as allScopes } from "./role.ts";
import type { Sessions, Tokens } from "./session.ts";
import type { SigningKeys } from "./signing-key.ts";
import type { TokenIssuer } from "./token-issuer.ts";

const serviceTokenLifeMs = 30 * 86_400_000;

/** Serves accounts, sessions and public keys. */
export function createAuthHandlers(deps: {
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly keys: SigningKeys;
  readonly issuer: string;
}): ServiceImpl<typeof AuthService> {
  const { accounts, sessions, keys } = deps;
  const discovery = (): { issuer: string; jwksUri: string } => {
    const jwksUri = jwksUriOf(deps.issuer);
    if (jwksUri === undefined) throw noDiscovery();
    return { issuer: deps.issuer, jwksUri };
  };
  return {
    signUp: async (request, context) => {
      const { userId, tokens } = await accounts.signUp(request, clientOf(context), context.signal);
      return { userId, tokens: tokenPairOf(tokens) };
    },
    signIn: async (request, context) => {
      const signedIn = await accounts.signIn(request, clientOf(context), context.signal);
      const { userId } = signedIn;
      if ("tokens" in signedIn) return { userId, tokens: tokenPairOf(signedIn.tokens) };
      const { text, expireTimeMs } = signedIn.challenge;
      return { userId, challenge: text, challengeExpireTime: timestampFromMs(expireTimeMs) };
    },
    completeSignIn: async (request, context) => {
      const { userId, tokens } = await accounts.completeSignIn(request, clientOf(context));
      return { userId, tokens: tokenPairOf(tokens) };
    },
    refreshToken: async (request, context) => ({
      tokens: tokenPairOf(await sessions.refresh(request.refreshToken, clientOf(context))),
    }),
    signOut: async (_request, context) => {
      const person = personOf(context);
      await sessions.end(person.id, person.sessionId, clientOf(context), "SIGN_OUT");
      return {};
    },
    listSessions: async (request, context) => {
      const person = personOf(context);
      const pageSize = pageSizeOf(request.pageSize);
      const found = await sessions.list(person.id, pageSize, idOfPage(request.pageToken));
      return {
        sessions: found.map((session) => ({
          sessionId: session.sessionId,
          createTime: timestampFromMs(session.createTimeMs),
          useTime: timestampFromMs(session.useTimeMs),
          expireTime: timestampFromMs(session.expireTimeMs),
          userAgent: session.userAgent,
          address: session.address,
          current: session.sessionId === person.sessionId,
        })),
        nextPageToken: found.length < pageSize ? "" : (found.at(-1)?.sessionId ?? ""),
      };
    },
    revokeSession: async (request, context) => {
      if (!isUuid(request.sessionId)) throw notYourSession();
      await sessions.end(personOf(context).id, request.sessionId, clientOf(context), "REVOKE_SESSION");
      return {};
    },
    changePassword: async (request, context) => {
      const person = personOf(context);
      await accounts.changePassword(
        { userId: person.id, sessionId: person.sessionId, password: request.currentPassword },
        request.newPassword,
        clientOf(context),
        context.signal,
      );
      return {};
    },
    listKeys: async () => ({
      keys: (await keys.published()).map(({ kid, publicKey }) => ({
        kty: "OKP",
        crv: "Ed25519",
        x: Buffer.from(publicKey).toString("base64url"),
        kid,
        alg: tokenAlgorithm,
        use: "sig",
      })),
    }),
    getOpenIdConfiguration: () => discovery(),
  };
}

/** Serves API keys. */
export function createApiKeyHandlers(apiKeys: ApiKeys): ServiceImpl<typeof ApiKeyService> {
  return {
    createApiKey: async (request, context) => {
      const { apiKey, secret } = await apiKeys.create(
        {
          displayName: request.displayName,
          scopes: request.scopes,
          expireTimeMs: request.expireTime && timestampMs(request.expireTime),
        },
        scopesHeldBy(callerOf(context)),
        clientOf(context),
      );
      return { apiKey: apiKeyMessage(apiKey), secret };
    },
    listApiKeys: async (request) => {
      const pageSize = pageSizeOf(request.pageSize);
      const found = await apiKeys.list(pageSize, idOfPage(request.pageToken), request.showEnded);
      return {
        apiKeys: found.map(apiKeyMessage),
        nextPageToken: found.length < pageSize ? "" : (found.at(-1)?.apiKeyId ?? ""),
      };
    },
    revokeApiKey: async (request, context) => {
      if (!isUuid(request.apiKeyId)) throw apiKeyNotFound();
      await apiKeys.revoke(request.apiKeyId, clientOf(context));
      return {};
    },
    verifyApiKey: async (request) => ({ apiKey: apiKeyMessage(await apiKeys.verify(request.secretHash)) }),
  };
}

/** Serves services' tokens. */
export function createServiceTokenHandlers(deps: {
  readonly tokens: TokenIssuer;
  readonly database: Database;
  readonly clock: Clock;
}): ServiceImpl<typeof ServiceTokenService> {
  return {
    issueServiceToken: async (request, context) => {
      const held = scopesHeldBy(callerOf(context));
      const missing = allScopes.find((scope) => !held.has(scope));
      if (missing !== undefined) throw scopeNotHeld(missing);
      const lifeMs = request.ttl === undefined ? serviceTokenLifeMs : durationMs(request.ttl);
      const { token, expireTimeMs } = await deps.tokens.issueService(request.serviceName, lifeMs);
      const client = clientOf(context);
      const act = { action: "ISSUE_SERVICE_TOKEN", outcome: "DONE", client } as const;
      await recordAct(
        deps.database.sql,
        { ...act, subject: `service:${request.serviceName}`, detail: new Date(expireTimeMs).toISOString() },
        deps.clock.now(),
      );
      return { token, expireTime: timestampFromMs(expireTimeMs) };
    },
  };
}

/** Serves people's keys. */
export function createPersonKeyHandlers(personKeys: PersonKeys): ServiceImpl<typeof PersonKeyService> {
  return {
    getPersonKeys: async (request) => ({
      personKeys: (await personKeys.find(request.personIds)).map(({ personId, key, destroyed }) => ({
        personId,
        key: key ?? new Uint8Array(),
        destroyed,
      })),
    }),
    destroyPersonKey: async ({ personId }, context) => ({
      destroyTime: timestampFromMs(await personKeys.destroy(personId, clientOf(context))),
    }),
  };
}

function tokenPairOf(tokens: Tokens): MessageInitShape<typeof TokenPairSchema> {
  return {
    accessToken: tokens.accessToken,
    accessExpireTime: timestampFromMs(tokens.accessExpireTimeMs),
    refreshToken: tokens.refreshToken,
    refreshExpireTime: timestampFromMs(tokens.refreshExpireTimeMs),
  };
}

function apiKeyMessage(key: ApiKey): MessageInitShape<typeof ApiKeySchema> {
  const { apiKeyId, displayName, scopes, createTimeMs, expireTimeMs, useTimeMs, revokeTimeMs } = key;
  return {
    apiKeyId,
    displayName,
    scopes: [...scopes],
    createTime: timestampFromMs(createTimeMs),
    ...(expireTimeMs === undefined ? {} : { expireTime: timestampFromMs(expireTimeMs) }),
    ...(useTimeMs === undefined ? {} : { useTime: timestampFromMs(useTimeMs) }),
    ...(revokeTimeMs === undefined ? {} : { revokeTime: timestampFromMs(revokeTimeMs) }),
  };
}

/**
 * Where the keys of an issuer are, by OpenID Connect Discovery 1.0: below the issuer, which is an https address without query or
 * fragment (http on this machine alone). `undefined` for another name: a verifier could find nothing by it.
 */
function jwksUriOf(issuer: string): string | undefined {
  const url = URL.parse(issuer);
  if (url === null || /[?#]/.test(issuer)) return undefined;
  const isLocal = url.protocol === "http:" && /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname);
  if (url.protocol !== "https:" && !isLocal) return undefined;
  return `${issuer.replace(/\/$/, "")}/.well-known/jwks.json`;
}
