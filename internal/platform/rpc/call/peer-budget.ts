import type { MuinError } from "../../errors/muin-error.ts";
import type { Call } from "./call.ts";
import { callErrors } from "./errors.ts";

/** What calls share: so much for each peer, and so much in all. */
export interface PeerBudget {
  /** Takes `amount` for the call's peer; the refusal when there is not so much left, for it or for all. */
  take(call: Call, amount: number): MuinError | undefined;
  /** Gives back what was taken. */
  give(call: Call, amount: number): void;
}

/** Who shares a budget, and how who asks for too much is refused. */
export interface Sharers {
  /** Who has a share: a name that all calls of one bear. */
  peerOf(call: Call): string;
  /** There is not so much left for the peer. */
  peerFull(): MuinError;
  /** There is not so much left for all. */
  full(): MuinError;
}

/** Calls of anonymous callers, by network. */
const strangers: Sharers = {
  peerOf: (call) => call.peer,
  peerFull: () => callErrors.peerOverloaded(),
  full: () => callErrors.overloaded({ message: "the server has as many callers without credentials as it takes" }),
};

/** Creates a budget. It remembers no peer that has given everything back, so it is as small as what is taken. */
export function createPeerBudget(perPeerMax: number, max: number, sharers: Sharers = strangers): PeerBudget {
  const taken = new Map<string, number>();
  let inAll = 0;
  return {
    take: (call, amount) => {
      const peer = sharers.peerOf(call);
      const sum = (taken.get(peer) ?? 0) + amount;
      if (sum > perPeerMax) return sharers.peerFull();
      if (inAll + amount > max) return sharers.full();
      inAll += amount;
      taken.set(peer, sum);
      return undefined;
    },
    give: (call, amount) => {
      const peer = sharers.peerOf(call);
      const rest = (taken.get(peer) ?? 0) - amount;
      inAll -= amount;
      if (rest > 0) taken.set(peer, rest);
      else taken.delete(peer);
    },
  };
}
