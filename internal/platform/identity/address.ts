import { createContextKey, type HandlerContext } from "@connectrpc/connect";

/** Carries the network address of the caller, as the outermost trusted hop saw it. */
export const addressKey: ReturnType<typeof createContextKey<string>> = createContextKey<string>("", {
  description: "caller's address",
});

/** The caller's network address; empty for a call inside the process. */
export function addressOf(context: HandlerContext): string {
  return context.values.get(addressKey);
}
