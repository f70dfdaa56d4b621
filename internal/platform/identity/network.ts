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
