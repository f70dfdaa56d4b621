import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Component } from "../lifecycle/component.ts";
import { timeout, TimeoutError } from "../lifecycle/timeout.ts";
import { openRedis } from "../redis/open-redis.ts";
import type { Logger } from "../telemetry/logger.ts";

/** The nonce of a signed call. */
export interface UsedNonce {
  /** Service that was called: a signature covers the method, so services need not know of each other's calls. */
  readonly service: string;
  /** The key that signed, as in `DeviceKey`. */
  readonly x: string;
  readonly nonce: string;
}

/** Nonces of signed calls, each of which is taken once by all processes of an installation together. */
export interface Nonces {
  /**
   * Whether nobody had taken it before. Rejects when that is not known within a quarter of a second; at once while an answer has been owed for
   * that long.
   */
  take(nonce: UsedNonce): Promise<boolean>;
}

/** `start` waits for the first attempt to connect and never fails. */
export interface OpenNonces extends Nonces, Component {}

/** How long the coordination Redis may take to answer, in milliseconds: a call waits for it. */
const takeMsMax = 250;
/**
 * How long a nonce is kept, in milliseconds: a signature is taken for a minute, from 30 s before its time to 30 s after, by the clocks
 * of processes that may be 30 s apart.
 */
const keptMs = 90_000;

/** The key of a nonce in the coordination Redis. */
export function nonceKey({ service, x, nonce }: UsedNonce): string {
  return `coordination:nonce:${service}:${x}:${nonce}`;
}

/** Pattern of the nonces of a service's calls, for ACL rules. */
export function noncePattern(service: string): string {
  return `coordination:nonce:${service}:*`;
}

/** Opens the nonces of the coordination Redis at `url`. `instance` names this process for operators. Does no I/O. */
export function openNonces(
  url: string,
  options: { readonly instance: string; readonly clock: Clock; readonly random: Random; readonly log: Logger },
): OpenNonces {
  const { instance, clock } = options;
  const redis = openRedis({ ...options, url, name: `nonces ${instance}` });
  /** Whether an answer is owed: until anything is answered, no call waits in vain as the one before it did. */
  let isSilent = false;
  return {
    name: "nonces",
    start: () => redis.start(),
    stop: () => redis.stop(),
    take: async (nonce) => {
      // One round trip, with those of the calls that came in the same turn.
      const taking = redis.client.set(nonceKey(nonce), "", "PX", keptMs, "NX");
      const answered = taking.finally(() => (isSilent = false));
      answered.catch(() => undefined); // Who waits for it is told.
      if (isSilent) throw new TimeoutError(0);
      try {
        return (await timeout(clock, takeMsMax, answered)) === "OK";
      } catch (error) {
        if (error instanceof TimeoutError) isSilent = true;
        throw error;
      }
    },
  };
}
