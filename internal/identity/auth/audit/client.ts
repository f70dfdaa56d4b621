import type { HandlerContext } from "@connectrpc/connect";
import { addressOf } from "../../../platform/identity/address.ts";
import { callerOf } from "../../../platform/identity/caller.ts";

const userAgentCharsMax = 256;
const addressCharsMax = 64;

/** Where a call comes from, as sessions and the audit log keep it. */
export interface ClientInfo {
  /** Principal of the caller. */
  readonly principal: string;
  /** Network address; empty for a call inside the process. */
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

/**
 * The network that an address stands for: the address itself for IPv4 (also when written as IPv6), the first 64 bits for
 * IPv6, since one subscriber holds them all. Empty for an empty or unreadable address.
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const plain = address.split("%", 1)[0] ?? "";
  // The URL parser writes an IPv6 address in its one canonical form (RFC 5952).
  const canonical = URL.parse(`http://[${plain}]`)?.hostname.slice(1, -1);
  if (canonical === undefined) return "";
  const [head = "", tail] = canonical.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - front.length - back.length }, () => "0");
  return `${[...front, ...zeros, ...back].slice(0, 4).join(":")}::/64`;
}
