import { CallerKind, type Policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import { MuinError } from "../../errors/muin-error.ts";
import type { Caller } from "../../identity/caller.ts";

const kinds: Readonly<Record<Exclude<Caller["kind"], "anonymous">, CallerKind>> = {
  person: CallerKind.PERSON,
  api_key: CallerKind.API_KEY,
  service: CallerKind.SERVICE,
  device: CallerKind.DEVICE,
};

/**
 * Throws unless `policy` lets `caller` call. No policy refuses everybody. Services and devices are admitted by kind;
 * people and API keys must also hold every scope.
 */
export function authorize(policy: Policy | undefined, caller: Caller): void {
  if (policy === undefined) {
    throw new MuinError({
      code: "permission_denied",
      reason: "POLICY_MISSING",
      message: "this method has no policy, so nobody may call it",
    });
  }
  if (policy.public) return;
  if (caller.kind === "anonymous") {
    throw new MuinError({
      code: "unauthenticated",
      reason: "CREDENTIALS_MISSING",
      message: "send credentials in the header Authorization: Bearer <API key or access token>",
    });
  }
  if (!policy.callers.includes(kinds[caller.kind])) {
    throw new MuinError({
      code: "permission_denied",
      reason: "CALLER_KIND",
      message: "this kind of caller may not call this method",
      metadata: { kind: caller.kind },
    });
  }
  if (caller.kind === "service" || caller.kind === "device") return;
  for (const scope of policy.scopes) {
    if (!caller.scopes.has(scope)) {
      throw new MuinError({
        code: "permission_denied",
        reason: "SCOPE_MISSING",
        message: `the caller lacks the scope ${scope}`,
        metadata: { scope },
      });
    }
  }
}
