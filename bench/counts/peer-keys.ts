/** Redis key of the generic peer's values, a hash of Count ids. */
export const genericKey = "generic:values";

/** What stands before a Count's id in its Redis key of plain INCR. */
export const plainKeyPrefix = "plain:";

/** Redis key of a Count of plain INCR; it stands beside Muin's keys on the same server. */
export function plainKeyOf(countId: string): string {
  return plainKeyPrefix + countId;
}
