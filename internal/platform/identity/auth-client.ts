import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService, type Revocation } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { ServiceTokenService } from "../../gen/muin/identity/v1/service_token_service_pb.ts";
import type { AuthenticatorDeps } from "./authenticator.ts";
import type { RenewedToken } from "./service-token.ts";

/** All that is asked of auth in the name of every service. */
export const authCalls: readonly DescMethod[] = [
  AuthService.method.listKeys,
  AuthService.method.listRevocations,
  ApiKeyService.method.verifyApiKey,
];

/** Revocations that are asked for at once. */
const revocationsPage = 1000;

/** What is asked of auth: for an authenticator, and for who tells it of revocations. */
export interface AuthClient extends Pick<AuthenticatorDeps, "fetchKeys" | "verifyApiKey"> {
  /** All that ended before its time and of which a token may still live. Rejects when auth cannot be asked. */
  revocations(): AsyncIterable<Revocation>;
}

/** Asks auth what a process cannot know by itself. `transportTo` carries calls to an RPC service of auth. */
export function createAuthClient(transportTo: (target: DescService) => Transport): AuthClient {
  const auth = createClient(AuthService, transportTo(AuthService));
  const apiKeys = createClient(ApiKeyService, transportTo(ApiKeyService));
  return {
    fetchKeys: async () => (await auth.listKeys({})).keys,
    verifyApiKey: async (secretHash) => {
      try {
        const { apiKey } = await apiKeys.verifyApiKey({ secretHash });
        if (apiKey === undefined) return undefined;
        return {
          id: apiKey.apiKeyId,
          scopes: apiKey.scopes,
          expireTimeMs: apiKey.expireTime === undefined ? undefined : timestampMs(apiKey.expireTime),
        };
      } catch (error) {
        if (ConnectError.from(error).code === Code.Unauthenticated) return undefined;
        throw error;
      }
    },
    revocations: async function* () {
      for (let pageToken = ""; ;) {
        const page = await auth.listRevocations({ pageSize: revocationsPage, pageToken });
        yield* page.revocations;
        if (page.nextPageToken === "") return;
        pageToken = page.nextPageToken;
      }
    },
  };
}

/** How long a renewal may take, in milliseconds. */
const renewTimeoutMs = 5000;

/** The RPC service that renews tokens of services: whoever serves it needs none. */
export const renewingService: DescService = ServiceTokenService;

/** Exchanges bootstrap secrets for tokens over a transport that shows no credentials. */
export function createTokenRenewal(transport: Transport): (secret: string) => Promise<RenewedToken> {
  const client = createClient(ServiceTokenService, transport);
  return async (secret) => {
    const { token, issueTime, expireTime } = await client.renewServiceToken({ secret }, { timeoutMs: renewTimeoutMs });
    if (issueTime === undefined || expireTime === undefined)
      throw new Error("auth does not say how long the token lives");
    return { token, lifeMs: timestampMs(expireTime) - timestampMs(issueTime) };
  };
}
