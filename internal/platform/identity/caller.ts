import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { MuinError } from "../errors/muin-error.ts";
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

/** The verified caller, who must be a person: for methods whose policy admits only people. */
export function personOf(context: HandlerContext): Extract<Caller, { kind: "person" }> {
  const caller = callerOf(context);
  if (caller.kind !== "person") {
    throw new MuinError({
      code: "permission_denied",
      reason: "CALLER_KIND",
      message: "only a signed-in person may do this",
    });
  }
  return caller;
}
