import type { DescMessage } from "@bufbuild/protobuf";

/** How the instances of a service share the events that it consumes. */
export type ConsumptionKind = "group" | "everyInstance";

/** A message that a service consumes, and how. */
export interface Consumption<M extends DescMessage = DescMessage, K extends ConsumptionKind = ConsumptionKind> {
  readonly schema: M;
  readonly kind: K;
  /** What happens to later events of a key once one of it was given up on: they wait, or are handled. Only for groups. */
  readonly onFailure: "parkKey" | "skip";
  /** everyInstance: begins so far back, in milliseconds. */
  readonly backMs: number;
  /** Attempts before an event becomes a dead letter, at least 1. Only for groups. */
  readonly attemptsMax: number;
  /** For a message that is handled by `onMany`: how long a group that has caught up lets events gather, in milliseconds. */
  readonly gatherMs: number;
  /** Service outside the catalogue that publishes the message; `undefined` when one of the catalogue does. */
  readonly publishedBy: string | undefined;
}

/** Consumed once per event over all instances of the service. Begins with the oldest retained event. */
export function group<M extends DescMessage>(
  schema: M,
  options: {
    /** Default "parkKey". */
    readonly onFailure?: "parkKey" | "skip";
    /** Default 8. */
    readonly attemptsMax?: number;
    /** Service that publishes it, where that is none of this catalogue. */
    readonly publishedBy?: string;
    /** Default 0. */
    readonly gatherMs?: number;
  } = {},
): Consumption<M, "group"> {
  const { onFailure = "parkKey", attemptsMax = 8, publishedBy, gatherMs = 0 } = options;
  return { schema, kind: "group", onFailure, backMs: 0, attemptsMax, gatherMs, publishedBy };
}

/** Consumed by every instance, from `backMs` milliseconds (default 0) before it started. For caches and live streams. */
export function everyInstance<M extends DescMessage>(
  schema: M,
  { backMs = 0 }: { readonly backMs?: number } = {},
): Consumption<M, "everyInstance"> {
  return {
    schema,
    kind: "everyInstance",
    onFailure: "skip",
    backMs,
    attemptsMax: 1,
    gatherMs: 0,
    publishedBy: undefined,
  };
}
