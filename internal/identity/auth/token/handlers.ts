import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { ServiceTokenService } from "../../../gen/muin/identity/v1/service_token_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { tokenAlgorithm } from "../../../platform/identity/token-claims.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { clientOf } from "../audit/client.ts";
import { recordAct } from "../audit/log.ts";
import { noDiscovery, scopeNotHeld } from "../errors.ts";
import { scopesHeldBy } from "../request.ts";
import { scopes as allScopes } from "../../../gen/scopes.ts";
import type { TokenIssuer } from "./issuer.ts";
import type { SigningKeys } from "./signing-keys.ts";

const serviceTokenLifeMs = 30 * 86_400_000;

/** Serves the keys that verify tokens, and where they are. */
export function createKeyHandlers(deps: {
  readonly keys: SigningKeys;
  readonly issuer: string;
}): Pick<ServiceImpl<typeof AuthService>, "listKeys" | "getOpenIdConfiguration"> {
  return {
    listKeys: async () => ({
      keys: (await deps.keys.published()).map(({ kid, publicKey }) => ({
        kty: "OKP",
        crv: "Ed25519",
        x: Buffer.from(publicKey).toString("base64url"),
        kid,
        alg: tokenAlgorithm,
        use: "sig",
      })),
    }),
    getOpenIdConfiguration: () => {
      const jwksUri = jwksUriOf(deps.issuer);
      if (jwksUri === undefined) throw noDiscovery();
      return { issuer: deps.issuer, jwksUri };
    },
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
