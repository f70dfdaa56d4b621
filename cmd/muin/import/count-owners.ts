import { countIdsOf } from "./count-id.ts";
import { creationsMax } from "./create-together.ts";

/** Values that ask for a Count at once: as many as one call creates. */
const askingMax = creationsMax;

/**
 * Makes a Count of this id the value's, unless it is another's: resolves with whether it is the value's now. A Count belongs to the
 * value whose display name it has.
 */
export type ClaimCount = (countId: string, value: string) => Promise<boolean>;

/** Which Count each value of an import is counted by. */
export interface CountOwners {
  /** The Count of a value that is assigned. */
  idOf(value: string): string | undefined;
  /** Takes over what an earlier run assigned. */
  restore(value: string, countId: string): void;
  /** Assigns Counts to values that have none: those of one readable id in their order, the others at once. */
  assign(values: readonly string[], claim: ClaimCount): Promise<void>;
}

/** No value has a Count yet; their ids will be made of `prefix`, which must be valid, and the value. */
export function createCountOwners(prefix: string): CountOwners {
  const ids = new Map<string, string>();
  const taken = new Set<string>();
  const restore = (value: string, countId: string): void => {
    ids.set(value, countId);
    taken.add(countId);
  };
  const assignOne = async (value: string, claim: ClaimCount): Promise<void> => {
    for (const countId of countIdsOf(prefix, value)) {
      // What is taken here is another value's; what is not is asked.
      if (taken.has(countId) || !(await claim(countId, value))) continue;
      restore(value, countId);
      return;
    }
  };
  return {
    idOf: (value) => ids.get(value),
    restore,
    assign: async (values, claim) => {
      const alike = Map.groupBy(values, (value) => countIdsOf(prefix, value).next().value);
      const groups = alike.values();
      const work = async (): Promise<void> => {
        for (const group of groups) for (const value of group) await assignOne(value, claim);
      };
      await Promise.all(Array.from({ length: Math.min(askingMax, alike.size) }, work));
    },
  };
}

/** Claims for a look at what would be counted: each Count belongs to the first value that asks. */
export function createDryClaims(): ClaimCount {
  const owners = new Map<string, string>();
  return (countId, value) => {
    const owner = owners.get(countId) ?? value;
    owners.set(countId, owner);
    return Promise.resolve(owner === value);
  };
}
