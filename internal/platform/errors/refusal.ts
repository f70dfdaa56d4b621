import type { MuinError } from "./muin-error.ts";

/** That a rule says no, and by which row of a table: an expected outcome, and no exception until it leaves the service. */
export interface Refusal<K extends string = string> {
  /** Name of the row. */
  readonly refused: K;
  /** What the caller gets. */
  readonly error: MuinError;
}

/** Refuses by a row: its name, then what its maker takes. */
export type Refuse<E> = <K extends Exclude<keyof E, "table"> & string>(
  refused: K,
  ...args: E[K] extends (...args: infer A) => MuinError ? A : never
) => Refusal<K>;

/** Derives the refusals of a table: `refuserOf(userErrors)("userNotFound", { user_id })`. */
export function refuserOf<E extends object>(errors: E): Refuse<E> {
  return (refused, ...args) => {
    const make = errors[refused] as (...args: readonly unknown[]) => MuinError; // Typed by `Refuse`.
    return { refused, error: make(...args) };
  };
}

/** Tells a refusal from what a rule brings otherwise. */
export function isRefusal(outcome: unknown): outcome is Refusal {
  return typeof outcome === "object" && outcome !== null && "refused" in outcome && "error" in outcome;
}

/** Passes on what a rule brought; throws what it refused with. */
export function orThrow<T>(outcome: T): Exclude<T, Refusal> {
  if (isRefusal(outcome)) throw outcome.error;
  return outcome as Exclude<T, Refusal>;
}
