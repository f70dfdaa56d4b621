import type { Clock } from "../../clock/clock.ts";
import type { MuinError } from "../../errors/muin-error.ts";
import type { Call } from "./call.ts";
import { createDeadlines } from "./deadlines.ts";
import { callErrors } from "./errors.ts";
import type { RpcLimits } from "./limits.ts";
import { createPeerBudget } from "./peer-budget.ts";
import { streamEnd } from "./race.ts";

/**
 * Places for calls under way, apart for known callers and for anonymous ones: nobody who shows credentials waits for those who show
 * none. A call takes its place once its request is there.
 */
export interface Places {
  /** Throws when there is no place for a known caller's call: its request need not be read. */
  look(call: Call): void;
  /** Takes a place for the call, or throws. Idempotent. */
  enter(call: Call): void;
  /** Gives it back. Idempotent. */
  leave(call: Call): void;
  /** Waits until it is known who calls. Throws when too many calls of the peer, or in all, wait for that. */
  identify<T>(call: Call, found: Promise<T>): Promise<T>;
}

/** Creates the places of a process's calls. */
export function createPlaces(limits: RpcLimits, clock: Clock): Places {
  const calls = createPeerBudget(limits.anonymousCallsPerPeerMax, limits.anonymousCallsMax);
  const streams = createPeerBudget(limits.anonymousStreamsPerPeerMax, limits.anonymousStreamsMax);
  const unidentified = createPeerBudget(limits.unidentifiedCallsPerPeerMax, limits.unidentifiedCallsMax);
  const ends = createDeadlines(clock, limits.anonymousStreamMsMax, () => streamEnd);
  let known = 0;
  const isFull = (): boolean => known >= limits.callsInFlightMax;
  const full = (): MuinError =>
    callErrors.overloaded({
      message: "the server has as many calls in flight as it takes; try again shortly",
      retryAfterMs: limits.overloadRetryAfterMs,
    });

  return {
    look: (call) => {
      if (isFull() && takesPlace(call) && call.caller.kind !== "anonymous") throw full();
    },
    enter: (call) => {
      if (call.place !== undefined || !takesPlace(call)) return;
      if (call.caller.kind !== "anonymous") {
        if (isFull()) throw full();
        known += 1;
        call.place = "known";
        return;
      }
      const isUnary = call.plan.method.methodKind === "unary";
      const refusal = (isUnary ? calls : streams).take(call, 1);
      if (refusal !== undefined) throw refusal;
      call.place = isUnary ? "call" : "stream";
      if (!isUnary) call.end = ends.add(limits.anonymousStreamMsMax, (reason) => call.cut(reason));
    },
    leave: (call) => {
      const { place } = call;
      if (place === undefined) return;
      call.place = undefined;
      call.end?.cancel();
      if (place === "known") known -= 1;
      else (place === "call" ? calls : streams).give(call, 1);
    },
    identify: async (call, found) => {
      const refusal = unidentified.take(call, 1);
      if (refusal !== undefined) {
        found.catch(() => undefined); // Nobody waits for it any more.
        throw refusal;
      }
      try {
        return await found;
      } finally {
        unidentified.give(call, 1);
      }
    },
  };
}

/** Calls within the process stand for the call that causes them; health and reflection answer at once, unless they stream. */
function takesPlace({ origin, counted, plan }: Call): boolean {
  return origin.caller === undefined && (counted || plan.method.methodKind !== "unary");
}
