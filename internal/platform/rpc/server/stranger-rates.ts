import { createLruMap } from "../../cache/lru-map.ts";
import type { Clock } from "../../clock/clock.ts";
import { networkOf } from "../../identity/network.ts";
import { Allowance } from "./allowance.ts";
import type { ConnectionLimits } from "./connection-limits.ts";

/** What becomes of a request without credentials: refused ones that come too fast as well end their connection, where it can be ended. */
export type Passage = "passes" | "refused" | "flood";

/**
 * Bounds what a network asks for without credentials in a second, before anything else is done for it. Bounds for all networks
 * together would let one network have another refused; what all have under way at once is bounded elsewhere.
 */
export interface StrangerRates {
  /** Counts a request from this address that shows no credentials, or none that were good. A probe costs a tenth of another. */
  pass(address: string, what?: "request" | "probe"): Passage;
  /** Counts a new connection from this address. `false`: it must be closed. */
  connect(address: string): boolean;
  /** A connection that was counted is a known caller's. */
  know(address: string): void;
}

/** Networks that are remembered; the one that was seen least lately is forgotten first. */
const networksMax = 20_000;
const probeCost = 0.1;

/** What one network may do. */
interface Network {
  readonly requests: Allowance;
  readonly refusals: Allowance;
  readonly connections: Allowance;
}

/** Creates the rates of a process, one book for both ports. */
export function createStrangerRates(limits: ConnectionLimits, clock: Pick<Clock, "monotonic">): StrangerRates {
  const networks = createLruMap<Network>(networksMax);
  const networkAt = (address: string): Network => {
    const name = networkOf(address);
    let network = networks.get(name);
    if (network === undefined) {
      network = {
        requests: new Allowance(limits.strangerRequestsMax, limits.strangerRequestsPerS, clock),
        refusals: new Allowance(limits.strangerRefusalsMax, limits.strangerRefusalsPerS, clock),
        connections: new Allowance(limits.strangerConnectionsMax, limits.strangerConnectionsPerS, clock),
      };
      networks.set(name, network);
    }
    return network;
  };
  return {
    pass: (address, what) => {
      const { requests, refusals } = networkAt(address);
      if (requests.take(what === "probe" ? probeCost : 1)) return "passes";
      return refusals.take() ? "refused" : "flood";
    },
    connect: (address) => networkAt(address).connections.take(),
    know: (address) => networkAt(address).connections.give(),
  };
}
