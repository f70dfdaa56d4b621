import { readAddress, unknownAddress } from "../../identity/network.ts";

/**
 * The caller's address as the outermost trusted hop saw it. `hops` proxies stand before the server, each of which appends its
 * peer to X-Forwarded-For; with none, anybody may have written the header, and the connection's own peer counts. So it does where
 * the header names no address. "unknown" when the peer has gone and so has no address any more.
 */
export function callerAddress(peer: string, forwardedFor: string | null, hops: number): string {
  return forwardedAddress(forwardedFor, hops) ?? readAddress(peer) ?? unknownAddress;
}

function forwardedAddress(forwardedFor: string | null, hops: number): string | undefined {
  if (hops === 0 || forwardedFor === null) return undefined;
  const entries = forwardedFor.split(",");
  return readAddress(entries[Math.max(0, entries.length - hops)] ?? "");
}
