import { CallerKind, type Policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import type { Caller } from "../../identity/caller.ts";
import { resourceErrors } from "../../resource/errors.ts";
import { callErrors } from "./errors.ts";

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
  if (policy === undefined) throw callErrors.policyMissing();
  if (policy.public) return;
  if (caller.kind === "anonymous") throw callErrors.credentialsMissing();
  if (!policy.callers.includes(kinds[caller.kind])) throw callErrors.callerKind({ metadata: { kind: caller.kind } });
  if (caller.kind === "service" || caller.kind === "device") return;
  for (const scope of policy.scopes) if (!caller.scopes.has(scope)) throw resourceErrors.scopeMissing({ scope });
}
