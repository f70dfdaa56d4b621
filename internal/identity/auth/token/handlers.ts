import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { ServiceTokenService } from "../../../gen/muin/identity/v1/service_token_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { tokenAlgorithm } from "../../../platform/identity/token-claims.ts";
import { scopesOfCaller } from "../../../platform/resource/caller-scopes.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { jwksUriOf, type ServiceTokens } from "./rules.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** How long whoever verifies tokens may keep the keys: far less than the time for which a key is published before it signs. */
const cacheControl = "public, max-age=300";

/** Serves the keys that verify tokens, and where they are. */
export function createKeyHandlers(deps: {
  readonly keys: Pick<SigningKeys, "published">;
  readonly issuer: string;
}): Pick<ServiceImpl<typeof AuthService>, "listKeys" | "getOpenIdConfiguration"> {
  return {
    listKeys: async (_request, { responseHeader }) => {
      const published = await deps.keys.published();
      responseHeader.set("cache-control", cacheControl);
      return {
        keys: published.map(({ kid, publicKey }) => ({
          kty: "OKP",
          crv: "Ed25519",
          x: Buffer.from(publicKey).toString("base64url"),
          kid,
          alg: tokenAlgorithm,
          use: "sig",
        })),
      };
    },
    getOpenIdConfiguration: (_request, { responseHeader }) => {
      const { jwksUri } = orThrow(jwksUriOf(deps.issuer));
      responseHeader.set("cache-control", cacheControl);
      return { issuer: deps.issuer, jwksUri };
    },
  };
}

/** Serves services' tokens to who operates Muin. */
export function createServiceTokenHandlers(
  tokens: ServiceTokens,
): Pick<ServiceImpl<typeof ServiceTokenService>, "issueServiceToken"> {
  return {
    issueServiceToken: async ({ serviceName, ttl }, context) => {
      const request = { serviceName, lifeMs: ttl && durationMs(ttl) };
      const held = scopesOfCaller(callerOf(context));
      const { token, expireTimeMs } = orThrow(await tokens.issue(request, held, clientOf(context)));
      return { token, expireTime: timestampFromMs(expireTimeMs) };
    },
  };
}
