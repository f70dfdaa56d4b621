import type { ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../clock/clock.ts";
import { callErrors, connectError } from "./errors.ts";

/** A deadline that has not passed. */
export interface Deadline {
  /** Whole milliseconds until it passes; 0 when it has. */
  remainingMs(): number;
  /** The call ended in time. Idempotent. */
  cancel(): void;
}

/** Watches deadlines: one timer for however many calls of one duration, because a timer per call costs more than the call. */
export interface Deadlines {
  /** Calls `onLate` after `ms` milliseconds unless cancelled before. */
  add(ms: number, onLate: (reason: ConnectError) => void): Deadline;
  /** Ends all that have not passed, for `reason`. */
  expireAll(reason: ConnectError): void;
}

/** Deadlines of one duration in the order in which they pass: a ring with itself as its end. */
class Node implements Deadline {
  /** Moment on the clock's monotonic scale, in milliseconds. */
  readonly at: number;
  readonly onLate: (reason: ConnectError) => void;
  readonly #clock: Clock;
  before: Node;
  after: Node;

  constructor(clock: Clock, at: number, onLate: (reason: ConnectError) => void) {
    this.#clock = clock;
    this.at = at;
    this.onLate = onLate;
    this.before = this;
    this.after = this;
  }

  remainingMs(): number {
    return Math.max(0, Math.floor(this.at - this.#clock.monotonic()));
  }

  cancel(): void {
    this.before.after = this.after;
    this.after.before = this.before;
    this.before = this;
    this.after = this;
  }
}

/** Creates a watch. Deadlines of `commonMs` share one timer; others have a timer each. `makeReason` makes the reason of one that passed. */
export function createDeadlines(clock: Clock, commonMs: number, makeReason: () => ConnectError = lateError): Deadlines {
  const ring = new Node(clock, 0, () => undefined);
  const others = new Map<Node, ReturnType<typeof setTimeout>>();
  const expire = (node: Node, reason: ConnectError): void => {
    others.delete(node);
    node.onLate(reason);
  };
  let armed = false;
  const arm = (ms: number): void => {
    armed = true;
    setTimeout(sweep, ms).unref();
  };
  const sweep = (): void => {
    armed = false;
    const now = clock.monotonic();
    while (ring.after !== ring && ring.after.at <= now) {
      const late = ring.after;
      late.cancel();
      late.onLate(makeReason());
    }
    if (ring.after !== ring) arm(Math.max(1, Math.ceil(ring.after.at - now)));
  };
  return {
    add: (ms, onLate) => {
      const node = new Node(clock, clock.monotonic() + ms, onLate);
      if (ms !== commonMs) {
        const timer = setTimeout(() => expire(node, makeReason()), ms);
        others.set(node, timer);
        return {
          remainingMs: () => node.remainingMs(),
          cancel: () => {
            clearTimeout(timer);
            others.delete(node);
          },
        };
      }
      node.before = ring.before;
      node.after = ring;
      ring.before.after = node;
      ring.before = node;
      if (!armed) arm(ms);
      return node;
    },
    expireAll: (reason) => {
      while (ring.after !== ring) {
        const node = ring.after;
        node.cancel();
        node.onLate(reason);
      }
      for (const [node, timer] of others) {
        clearTimeout(timer);
        expire(node, reason);
      }
    },
  };
}

function lateError(): ConnectError {
  return connectError(callErrors.table.late);
}
