/** Redis key of the generic peer's values, a hash of Count ids. */
export const genericKey = "generic:values";

/** Redis key of a Count of plain INCR; it stands beside Muin's keys on the same server. */
export function plainKeyOf(countId: string): string {
  return `plain:${countId}`;
}
