import type { Clock } from "../../clock/clock.ts";
import { networkOf } from "../../identity/network.ts";

/** Pages for one peer in a second. */
const perPeerMax = 100;
/** Peers that are remembered in a second; all others share what one may have. */
const peersMax = 10_000;
const periodMs = 1000;

/** Bounds the pages that a peer gets: the network that its address stands for. */
export interface PageQuota {
  /** Whether the peer at this address may have another one now. */
  take(address: string): boolean;
}

/** Creates a quota of which nothing is taken. */
export function createPageQuota(clock: Clock): PageQuota {
  let taken = new Map<string, number>();
  let endsMs = 0;
  return {
    take: (address) => {
      const now = clock.monotonic();
      if (now >= endsMs) {
        taken = new Map();
        endsMs = now + periodMs;
      }
      const network = networkOf(address);
      const peer = taken.size < peersMax || taken.has(network) ? network : "";
      const count = (taken.get(peer) ?? 0) + 1;
      taken.set(peer, count);
      return count <= perPeerMax;
    },
  };
}
