import { parseHttpUrl } from "../../../platform/config/http-url.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { serviceTokenLifeMsMax } from "../../../platform/identity/token-claims.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { afterSecondOf, isWithdrawn } from "../bootstrap/rules.ts";
import type { BootstrapStore } from "../bootstrap/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import { scopes } from "../../../gen/scopes.ts";
import type { IssuedToken, TokenIssuer } from "./issuer.ts";

/** Tokens of Muin's own services for who looks at what a service may call. Processes get theirs by their bootstrap secret. */
export interface ServiceTokens {
  /**
   * Issues a token of `lifeMs` (default: 15 minutes) of a service that is not withdrawn. Only to who holds every scope, since they are
   * given what the service may do; `held` are the caller's.
   */
  issue(
    request: { readonly serviceName: string; readonly lifeMs: number | undefined },
    held: ReadonlySet<string>,
    client: ClientInfo,
  ): Promise<IssuedToken | Refusal<"scopeMissing" | "serviceWithdrawn">>;
}

/** Issues service tokens and records each in the audit log. */
export function createServiceTokens(deps: {
  readonly database: Database;
  readonly audit: Pick<AuditStore, "append">;
  readonly secrets: Pick<BootstrapStore, "lock" | "markRenewed">;
  readonly tokens: Pick<TokenIssuer, "issueService">;
  readonly clock: Clock;
}): ServiceTokens {
  const { database, audit, secrets, tokens, clock } = deps;
  return {
    issue: async ({ serviceName, lifeMs = serviceTokenLifeMsMax }, held, client) => {
      const missing = scopes.find((scope) => !held.has(scope));
      if (missing !== undefined) return refuse("scopeMissing", { scope: missing });
      const issueMs = await database.transaction(async (tx) => {
        const known = await secrets.lock(tx, serviceName);
        if (known !== undefined && isWithdrawn(known)) return refuse("serviceWithdrawn", { service: serviceName });
        const nowMs = Math.max(clock.now(), afterSecondOf(known?.withdrawTimeMs));
        await secrets.markRenewed(tx, serviceName, nowMs); // So that it can be withdrawn.
        const act = { action: "ISSUE_SERVICE_TOKEN", outcome: "DONE", client } as const;
        const detail = new Date(nowMs + lifeMs).toISOString();
        await audit.append(tx, { ...act, subject: `service:${serviceName}`, detail }, clock.now());
        return nowMs;
      });
      return isRefusal(issueMs) ? issueMs : tokens.issueService(serviceName, lifeMs, issueMs);
    },
  };
}

/**
 * Where the keys of an issuer are, by OpenID Connect Discovery 1.0: below the issuer, which is an https address without query or
 * fragment (http on this machine alone). Refused for another name: a verifier could find nothing by it.
 */
export function jwksUriOf(issuer: string): { readonly jwksUri: string } | Refusal<"issuerNotAnAddress"> {
  const url = parseHttpUrl(issuer);
  if (url === undefined || /[?#]/.test(issuer)) return refuse("issuerNotAnAddress");
  const isLocal = url.protocol === "http:" && /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname);
  if (url.protocol !== "https:" && !isLocal) return refuse("issuerNotAnAddress");
  return { jwksUri: `${issuer.replace(/\/$/, "")}/.well-known/jwks.json` };
}
