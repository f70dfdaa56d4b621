import { isIPv4, isIPv6 } from "node:net";

/** Where a call comes from. */
export interface Peer {
  /** Network address; empty for a call inside the process. Costs something to find. */
  address(): string;
}

/** Stands for every peer whose address cannot be told: one network, so that what it does is counted all the same. */
export const unknownAddress = "unknown";

/**
 * The address in a text as proxies write it: `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`, with
 * spaces around it or in quotes. Without port, brackets and zone; IPv4 in its own form when it is written as IPv6. `undefined` for
 * what is no address.
 */
export function readAddress(text: string): string | undefined {
  if (isIPv4(text)) return text; // Nearly always.
  const bare = text.trim().replace(/^"(.*)"$/, "$1");
  const [, bracketed] = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(bare) ?? [];
  if (bracketed !== undefined) return isIPv6(bracketed) ? plainAddress(bracketed) : undefined;
  if (isIPv6(bare)) return plainAddress(bare);
  const [, ipv4 = ""] = /^([\d.]+)(?::\d{1,5})?$/.exec(bare) ?? [];
  return isIPv4(ipv4) ? ipv4 : undefined;
}

/**
 * The network that an address stands for: the address itself for IPv4 (also when written as IPv6), the first 64 bits for
 * IPv6, since one subscriber holds them all. Empty for an empty one, which is a call inside the process; what is no address is of
 * the network "unknown".
 */
export function networkOf(address: string): string {
  if (address === "") return "";
  const plain = readAddress(address) ?? unknownAddress;
  return isIPv6(plain) ? `${groupsOf(plain).slice(0, 4).join(":")}::/64` : plain;
}

/** An IPv6 address without its zone, and as IPv4 if that is what it stands for. */
function plainAddress(ipv6: string): string {
  const plain = ipv6.split("%", 1)[0] ?? "";
  const groups = groupsOf(plain);
  if (groups.slice(0, 6).join(":") !== "0:0:0:0:0:ffff") return plain;
  return groups
    .slice(6)
    .flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff])
    .join(".");
}

/** The eight groups of an IPv6 address, in lower-case hex without leading zeros. */
function groupsOf(ipv6: string): readonly string[] {
  // The URL parser writes an IPv6 address in its one canonical form (RFC 5952).
  const canonical = new URL(`http://[${ipv6}]`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - front.length - back.length }, () => "0");
  return [...front, ...zeros, ...back];
}
