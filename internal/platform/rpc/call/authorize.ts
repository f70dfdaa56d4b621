import { CallerKind } from "../../../gen/muin/platform/v1/options_pb.ts";
import type { Caller } from "../../identity/caller.ts";
import { resourceErrors } from "../../resource/errors.ts";
import { callErrors } from "./errors.ts";
import type { MethodPlan } from "./plan.ts";

const kinds: Readonly<Record<Exclude<Caller["kind"], "anonymous">, CallerKind>> = {
  person: CallerKind.PERSON,
  api_key: CallerKind.API_KEY,
  service: CallerKind.SERVICE,
  device: CallerKind.DEVICE,
};

/**
 * Throws unless the method's policy lets `caller` call. No policy refuses everybody. Devices are admitted by kind; people and API
 * keys must also hold every scope; a service must be one of those whose declaration names the method, even if anybody may call it.
 */
export function authorize({ policy, services }: Pick<MethodPlan, "policy" | "services">, caller: Caller): void {
  if (policy === undefined) throw callErrors.policyMissing();
  if (policy.public) return admitDeclared(services, caller);
  if (caller.kind === "anonymous") throw callErrors.credentialsMissing();
  if (!policy.callers.includes(kinds[caller.kind])) throw callErrors.callerKind({ metadata: { kind: caller.kind } });
  if (caller.kind === "service") return admitDeclared(services, caller);
  if (caller.kind === "device") return;
  for (const scope of policy.scopes) if (!caller.scopes.has(scope)) throw resourceErrors.scopeMissing({ scope });
}

function admitDeclared(services: MethodPlan["services"], caller: Caller): void {
  if (caller.kind !== "service" || services === undefined || services.has(caller.id)) return;
  throw callErrors.callNotDeclared({ metadata: { service: caller.id } });
}
