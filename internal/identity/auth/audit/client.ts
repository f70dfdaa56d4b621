import type { HandlerContext } from "@connectrpc/connect";
import { addressOf } from "../../../platform/identity/address.ts";
import { callerOf } from "../../../platform/identity/caller.ts";

const userAgentCharsMax = 256;
const addressCharsMax = 64;

/** Where a call comes from, as sessions and the audit log keep it. */
export interface ClientInfo {
  /** Principal of the caller. */
  readonly principal: string;
  /** Network address, cut to 64 characters; empty for a call inside the process. */
  readonly address: string;
  /** User-Agent, cut to 256 characters. */
  readonly userAgent: string;
}

/** Where this call comes from. */
export function clientOf(context: HandlerContext): ClientInfo {
  return {
    principal: callerOf(context).principal,
    address: addressOf(context).slice(0, addressCharsMax),
    userAgent: (context.requestHeader.get("user-agent") ?? "").slice(0, userAgentCharsMax),
  };
}

/** Auth itself, for what nobody asked for. */
export const authItself: ClientInfo = { principal: "service:auth", address: "", userAgent: "" };
