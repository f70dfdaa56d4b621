import type { ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../clock/clock.ts";
import type { MuinError } from "../../errors/muin-error.ts";
import type { Call } from "./call.ts";
import { createDeadlines } from "./deadlines.ts";
import { callErrors } from "./errors.ts";
import { readBytesMaxOf, type RpcLimits } from "./limits.ts";
import type { ErrorMapper } from "./map-error.ts";
import { createPeerBudget, type PeerBudget, type Sharers } from "./peer-budget.ts";

/**
 * Bodies of requests that are on their way: each has a time to come that its sender cannot choose, and what is held of them is bounded,
 * apart for known callers and for anonymous ones.
 */
export interface AwaitedBodies {
  /** The request of an admitted call is awaited. Throws when there is no room for it. */
  expect(call: Call): void;
  /** The request is there, or nobody waits for it any more. Idempotent. */
  release(call: Call): void;
  /** Cuts short all calls whose request is awaited. */
  cutAll(reason: ConnectError): void;
}

/** What a request costs that is awaited, whatever has come of it, in bytes. */
const awaitedBytes = 4096;
/** Beyond so many pieces a body must have so many bytes in each, on average: a piece costs its receiver more than its sender. */
const freePieces = 1000;
const pieceBytesMin = 16;
/** The time that limits give to a body is for so many bytes that its method takes. */
const unitBytes = 1024 * 1024;

/** Awaits nothing yet. */
export function createAwaitedBodies(limits: RpcLimits, clock: Clock, errors: ErrorMapper): AwaitedBodies {
  const anonymous = createPeerBudget(limits.anonymousBodyBytesPerPeerMax, limits.anonymousBodyBytesMax);
  const deadlines = createDeadlines(clock, limits.bodyMsMax, () => errors.map(callErrors.requestLate()).error);
  const known = createPeerBudget(limits.bodyBytesPerCallerMax, limits.bodyBytesMax, knownCallers(limits));
  const budgetOf = ({ caller }: Call): PeerBudget => (caller.kind === "anonymous" ? anonymous : known);
  const take = (call: Call, bytes: number): MuinError | undefined => {
    const refusal = budgetOf(call).take(call, bytes);
    if (refusal === undefined) call.heldBytes += bytes;
    return refusal;
  };
  const hold = (call: Call, bytes: number): void => {
    if (call.bodyDeadline === undefined) return; // It was let go meanwhile.
    const isChopped = call.pieces >= freePieces && call.heldBytes - awaitedBytes < call.pieces * pieceBytesMin;
    call.pieces += 1;
    const refusal = isChopped ? chopped() : take(call, bytes);
    if (refusal !== undefined) call.cut(errors.map(refusal).error);
  };

  return {
    expect: (call) => {
      const refusal = take(call, awaitedBytes);
      if (refusal !== undefined) throw refusal;
      call.hold = hold;
      const units = Math.max(1, readBytesMaxOf(call.plan.policy, limits) / unitBytes);
      call.bodyDeadline = deadlines.add(units * limits.bodyMsMax, (reason) => call.cut(reason));
    },
    release: (call) => {
      if (call.bodyDeadline === undefined) return;
      call.bodyDeadline.cancel();
      call.bodyDeadline = undefined;
      budgetOf(call).give(call, call.heldBytes);
      call.heldBytes = 0;
    },
    cutAll: (reason) => deadlines.expireAll(reason),
  };
}

function chopped(): MuinError {
  return callErrors.requestMalformed({
    message: `the request comes in too many small pieces: send ${pieceBytesMin} bytes or more at a time`,
  });
}

/** Known callers, each by its own name: one of them keeps no other one out. */
function knownCallers({ overloadRetryAfterMs: retryAfterMs }: RpcLimits): Sharers {
  return {
    peerOf: ({ caller }) => (caller.kind === "anonymous" ? "" : caller.principal),
    peerFull: () =>
      callErrors.overloaded({
        message: "this caller has as much of requests on their way as one may have; try again shortly",
        retryAfterMs,
      }),
    full: () => callErrors.overloaded({ retryAfterMs }),
  };
}
