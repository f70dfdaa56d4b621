/** SHA-256 of what a request asks for, whatever the order of its map entries. Bounds stand as text: JSON has no bigint. */
export function fingerprintOf(operation: string, countId: string, content: readonly unknown[]): Uint8Array {
  const text = JSON.stringify([operation, countId, content], (_, value: unknown) => {
    if (typeof value === "bigint") return value.toString();
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  });
  return new Uint8Array(new Bun.CryptoHasher("sha256").update(text).digest());
}
