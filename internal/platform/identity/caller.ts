import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { identityErrors } from "./errors.ts";
import type { DeviceKey } from "./signed-call.ts";

/** Who calls. `id` is unique within a kind; `principal` across kinds. */
export type Caller =
  | { readonly kind: "anonymous"; readonly principal: "anonymous" }
  | {
      readonly kind: "person";
      readonly id: string;
      /** `person:<id>` */
      readonly principal: string;
      readonly scopes: ReadonlySet<string>;
      readonly sessionId: string;
    }
  | {
      readonly kind: "api_key";
      readonly id: string;
      /** `api_key:<id>` */
      readonly principal: string;
      readonly scopes: ReadonlySet<string>;
    }
  | {
      readonly kind: "service";
      /** Name in the catalogue. */
      readonly id: string;
      /** `service:<id>` */
      readonly principal: string;
    }
  | {
      readonly kind: "device";
      readonly id: string;
      /** `device:<id>` */
      readonly principal: string;
      /** Branches that it may act for. */
      readonly branchIds: ReadonlySet<string>;
      /** Signs its calls. A handler sees only calls that were proven by it. */
      readonly key: DeviceKey;
    };

/** Who calls when no credentials were sent. */
export const anonymous: Caller = { kind: "anonymous", principal: "anonymous" };

/** Carries the caller in a handler's context. */
export const callerKey: ReturnType<typeof createContextKey<Caller>> = createContextKey<Caller>(anonymous, {
  description: "muin caller",
});

/** The verified caller of this call. */
export function callerOf(context: HandlerContext): Caller {
  return context.values.get(callerKey);
}

/** The verified caller of a method whose policy admits only people. Throws PERMISSION_DENIED, reason CALLER_KIND, for others. */
export function personOf(context: HandlerContext): Extract<Caller, { kind: "person" }> {
  const caller = callerOf(context);
  if (caller.kind !== "person") throw identityErrors.personOnly();
  return caller;
}
