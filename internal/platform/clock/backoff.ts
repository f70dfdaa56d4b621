import type { Random } from "./random.ts";

/** The shortest and the longest pause, in milliseconds. */
export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait, in milliseconds, after `failures` failures in a row, 1 or more: twice as long each time, within the bounds, less
 * up to a half by chance, so that those who failed together do not come back together.
 */
export function backoffMs({ minMs, maxMs }: BackoffBounds, failures: number, random: Pick<Random, "fraction">): number {
  return Math.min(minMs * 2 ** (failures - 1), maxMs) * (0.5 + random.fraction() / 2);
}
