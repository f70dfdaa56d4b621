import type { MuinError } from "../../errors/muin-error.ts";
import type { Call } from "./call.ts";
import { callErrors } from "./errors.ts";

/** What calls of anonymous peers share: so much for each peer, and so much in all. */
export interface PeerBudget {
  /** Takes `amount` for the call's peer; the refusal when there is not so much left, for it or for all. */
  take(call: Call, amount: number): MuinError | undefined;
  /** Gives back what was taken. */
  give(call: Call, amount: number): void;
}

/** Creates a budget. It remembers no peer that has given everything back, so it is as small as what is taken. */
export function createPeerBudget(perPeerMax: number, max: number): PeerBudget {
  const taken = new Map<string, number>();
  let inAll = 0;
  return {
    take: (call, amount) => {
      const sum = (taken.get(call.peer) ?? 0) + amount;
      if (sum > perPeerMax) return callErrors.peerOverloaded();
      if (inAll + amount > max) {
        return callErrors.overloaded({ message: "the server has as many callers without credentials as it takes" });
      }
      inAll += amount;
      taken.set(call.peer, sum);
      return undefined;
    },
    give: (call, amount) => {
      const rest = (taken.get(call.peer) ?? 0) - amount;
      inAll -= amount;
      if (rest > 0) taken.set(call.peer, rest);
      else taken.delete(call.peer);
    },
  };
}
