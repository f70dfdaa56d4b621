/**
 * The caller's address as the outermost trusted hop saw it. `hops` proxies stand before the server, each of which appends its
 * peer to X-Forwarded-For; with none, anybody may have written the header, and the connection's own peer counts.
 */
export function callerAddress(peer: string, forwardedFor: string | null, hops: number): string {
  if (hops === 0 || forwardedFor === null) return peer;
  const entries = forwardedFor.split(",");
  return entries[Math.max(0, entries.length - hops)]!.trim();
}
