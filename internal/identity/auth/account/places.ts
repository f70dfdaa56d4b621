import type { Clock } from "../../../platform/clock/clock.ts";

/**
 * Who waits: somebody who is known (a person who has signed in, or did so lately from the same network; the holder of a mail's
 * token), somebody who signs in, somebody who signs up.
 */
export type Rank = "known" | "sign-in" | "sign-up";

/** How many may wait, and for how long. */
export interface PlaceLimits {
  /** Holders of a place at a time. */
  readonly concurrentMax: number;
  /** Those of one rank who wait. */
  readonly waitingMax: number;
  /** Those of one rank and one network who wait. */
  readonly waitingPerNetworkMax: number;
  /** How long one waits. */
  readonly waitMsMax: number;
}

/** Why a place was not to be had. */
export type NoPlace = "too many wait" | "waited too long" | "gone";

/** Places of which a bounded number is held at a time; those who wait for one get it in turns. */
export interface Places {
  /** Whether the next who comes waits. */
  isFull(): boolean;
  /**
   * Takes a place, at once or in turn; the function gives it back. Ranks wait apart, so that none takes up the room of another; a
   * free place goes to each at least every fourth time, and within a rank to the networks one after the other. When a rank has no
   * room left, a newcomer takes that of the last one of the network that has most waiting, if theirs has fewer.
   */
  take(rank: Rank, network: string, signal: AbortSignal): Promise<(() => void) | NoPlace>;
}

/** Whose turn it is with each place that becomes free; when nobody of the rank waits, another rank's. */
const turns: readonly Rank[] = ["known", "sign-in", "known", "sign-up"];

interface Waiter {
  readonly network: string;
  end(outcome: "turn" | NoPlace): void;
}

/** Places that nobody holds yet. */
export function createPlaces(limits: PlaceLimits, clock: Pick<Clock, "sleep">): Places {
  const { concurrentMax, waitMsMax } = limits;
  const lines = { known: createLine(limits), "sign-in": createLine(limits), "sign-up": createLine(limits) };
  let held = 0;
  let turn = 0;

  const next = (): Waiter | undefined => {
    const first = turns[turn++ % turns.length]!;
    return lines[first].shift() ?? lines.known.shift() ?? lines["sign-in"].shift() ?? lines["sign-up"].shift();
  };
  /** Hands the place on; it stays held for whoever gets it. */
  const giveBack = (): void => {
    const waiter = next();
    if (waiter === undefined) held--;
    else waiter.end("turn");
  };

  const wait = (rank: Rank, network: string, signal: AbortSignal): Promise<"turn" | NoPlace> =>
    new Promise((resolve) => {
      const timer = new AbortController();
      const waiter: Waiter = {
        network,
        end: (outcome) => {
          timer.abort();
          signal.removeEventListener("abort", leave);
          resolve(outcome);
        },
      };
      const leave = (): void => {
        if (lines[rank].remove(waiter)) waiter.end("gone");
      };
      if (!lines[rank].add(waiter)) return waiter.end("too many wait");
      signal.addEventListener("abort", leave, { once: true });
      const expire = (): void => {
        if (lines[rank].remove(waiter)) waiter.end("waited too long");
      };
      clock.sleep(waitMsMax, timer.signal).then(expire, () => undefined); // Rejects when it has ended before.
    });

  return {
    isFull: () => held >= concurrentMax,
    take: async (rank, network, signal) => {
      if (signal.aborted) return "gone";
      if (held < concurrentMax) held++;
      else {
        const outcome = await wait(rank, network, signal);
        if (outcome !== "turn") return outcome;
      }
      let isGivenBack = false;
      return () => {
        if (!isGivenBack) giveBack();
        isGivenBack = true;
      };
    },
  };
}

/** Those of one rank who wait. */
interface Line {
  /** False when there is no room, not even by taking somebody else's. */
  add(waiter: Waiter): boolean;
  /** The longest waiting of the network whose turn it is. */
  shift(): Waiter | undefined;
  /** False when it does not wait any more. */
  remove(waiter: Waiter): boolean;
}

function createLine({ waitingMax, waitingPerNetworkMax }: PlaceLimits): Line {
  /** By network; the network whose turn it is comes first. */
  const waiting = new Map<string, Waiter[]>();
  let size = 0;

  const take = (network: string, at: number): Waiter | undefined => {
    const ofNetwork = waiting.get(network) ?? [];
    const [waiter] = ofNetwork.splice(at, 1);
    if (waiter !== undefined) size--;
    if (ofNetwork.length === 0) waiting.delete(network);
    return waiter;
  };
  /** The last one of the network that has most waiting, if those are more than `than`. */
  const pushOut = (than: number): boolean => {
    const [network, most] = [...waiting].reduce((a, b) => (b[1].length > a[1].length ? b : a), ["", []]);
    if (most.length <= than) return false;
    take(network, -1)?.end("too many wait");
    return true;
  };
  return {
    add: (waiter) => {
      const { network } = waiter;
      const own = waiting.get(network)?.length ?? 0;
      if (own >= waitingPerNetworkMax) return false;
      if (size >= waitingMax && !pushOut(own + 1)) return false;
      size++;
      const ofNetwork = waiting.get(network);
      if (ofNetwork === undefined) waiting.set(network, [waiter]);
      else ofNetwork.push(waiter);
      return true;
    },
    shift: () => {
      const [first] = waiting;
      if (first === undefined) return undefined;
      const [network, ofNetwork] = first;
      const waiter = take(network, 0);
      if (ofNetwork.length > 0) {
        waiting.delete(network);
        waiting.set(network, ofNetwork); // Behind all others.
      }
      return waiter;
    },
    remove: (waiter) => {
      const at = waiting.get(waiter.network)?.indexOf(waiter) ?? -1;
      return at >= 0 && take(waiter.network, at) !== undefined;
    },
  };
}
