import { verify } from "node:crypto";
import { createContextKey, type ContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { identityErrors } from "./errors.ts";
import type { Nonces } from "./nonces.ts";
import { createProvenCalls, type RememberedCalls } from "./proven-calls.ts";
import { signatureSkewMs, signedText, type DeviceKey, type SignedCall } from "./signed-call.ts";

/**
 * Where it was looked whether a signed call came before: in the memory that all processes share, or, while that is away, in this
 * process alone. What was recorded of a call says so.
 */
export type ReplayCheck = "SHARED" | "LOCAL";

/** The signature of a call under way. */
export interface CallSignature {
  /**
   * Rejects with MuinError unless the key made it and no call of the key had its nonce before: `unauthenticated`, or
   * `resource_exhausted` for a key that calls too often. The same key may be asked for again. A key that is no registered device's,
   * which anybody can make as many of as they like, counts for the network that it comes from, and is remembered apart.
   */
  prove(key: DeviceKey, stranger?: Stranger): Promise<void>;
  /** Where it was looked whether the call came before; `undefined` until it was proven. */
  readonly replayCheck: ReplayCheck | undefined;
}

/** Who signs with a key that nobody knows yet. */
export interface Stranger {
  /** As `networkOf` gives it. */
  readonly network: string;
}

/** Reads signatures, and remembers which were proven. */
export interface SignatureReader {
  /**
   * Throws MuinError `unauthenticated` when the header is absent, malformed or not of now. Proves nothing yet. `service` is the one
   * that is called: its processes remember the call.
   */
  read(header: string | null, method: string, body: Uint8Array, service: string): CallSignature;
}

/** What a reader stands on. */
export interface SignatureReaderDeps {
  readonly clock: Pick<Clock, "now">;
  /** What all processes know together. Default: this one judges alone. */
  readonly nonces?: Nonces;
  /** Told when the nonces go away and when they come back. */
  readonly log?: Pick<Logger, "warn" | "info">;
  readonly metrics?: Metrics;
  /** Default: 3000 calls a device and 500 000 in all, 100 of a network's strangers and 20 000 in all. */
  readonly remembered?: Readonly<Record<keyof typeof rememberedOf, RememberedCalls>>;
}

/** The calls of devices, and apart from them those of strangers. */
const rememberedOf = {
  devices: { perSignerMax: 3000, max: 500_000 },
  strangers: { perSignerMax: 100, max: 20_000 },
} as const satisfies Record<string, RememberedCalls>;
const headerPattern = /^v1,t=([1-9]\d{12}),n=([A-Za-z0-9_-]{16,64}),s=([A-Za-z0-9_-]{86})$/;
const headerCharsMax = 256;

/** Carries the signature of a call that was signed. */
export const signatureKey: ContextKey<CallSignature | undefined> = createContextKey<CallSignature | undefined>(
  undefined,
  { description: "muin signature" },
);

/** The signature of this call, to be proven by the key that must have made it. Throws when the call is not signed. */
export function signatureOf(context: HandlerContext): CallSignature {
  const signature = context.values.get(signatureKey);
  if (signature === undefined) throw signatureMissing();
  return signature;
}

/** The call had to be signed. */
export function signatureMissing(): MuinError {
  return identityErrors.signatureMissing();
}

/** The call has a form whose signature could not cover all of it. */
export function notSignable(part: string): MuinError {
  return identityErrors.notSignable({ part });
}

/**
 * A reader that has seen no call. A call is looked for in its own memory first, which bounds how many are taken, then among the
 * nonces. While those are away, what was signed before it was created is refused: it cannot know what came then.
 */
export function createSignatureReader(deps: SignatureReaderDeps): SignatureReader {
  const { clock, remembered = rememberedOf } = deps;
  const devices = createProvenCalls(remembered.devices);
  const strangers = createProvenCalls(remembered.strangers);
  const check = createReplayCheck(deps);
  return {
    read: (header, method, body, service) => {
      const { signature, ...call } = parse(header, method, body, clock.now());
      let proof: { readonly x: string; readonly done: Promise<void> } | undefined;
      let replayCheck: ReplayCheck | undefined;
      const take = async (x: string): Promise<void> => {
        replayCheck = await check(call, x, service);
      };
      return {
        get replayCheck() {
          return replayCheck;
        },
        prove: async ({ x, key }, stranger) => {
          if (proof?.x === x) return proof.done;
          if (!verify(null, signedText(call), key, signature)) throw identityErrors.signatureInvalid();
          if (stranger === undefined) devices.add(x, x, call, clock.now());
          else strangers.add(stranger.network, x, call, clock.now());
          proof = { x, done: take(x) };
          return proof.done;
        },
      };
    },
  };
}

function parse(header: string | null, method: string, body: Uint8Array, nowMs: number) {
  if (header === null) throw signatureMissing();
  const match = header.length > headerCharsMax ? null : headerPattern.exec(header);
  if (match === null) throw identityErrors.signatureMalformed();
  const [, time = "", nonce = "", text = ""] = match;
  const timeMs = Number(time);
  if (Math.abs(timeMs - nowMs) > signatureSkewMs) {
    throw identityErrors.signatureTime({ metadata: { server_time_ms: String(nowMs) } });
  }
  return { method, body, timeMs, nonce, signature: Buffer.from(text, "base64url") };
}

/** Says whether other processes, or this one before it started, took a call. Rejects with MuinError when it came before. */
function createReplayCheck({
  clock,
  nonces,
  log,
  metrics,
}: SignatureReaderDeps): (call: SignedCall, x: string, service: string) => Promise<ReplayCheck> {
  /** By the clock of now: one that was put back since must refuse nobody until it is there again. */
  let startMs = clock.now();
  const proven = metrics?.counter({
    name: "signed_calls_total",
    help: "Signed calls that were proven, by where it was looked whether they came before.",
    labels: ["replay_check"],
  });
  let isAway = false;
  const look = async (call: SignedCall, x: string, service: string): Promise<ReplayCheck> => {
    let isNew: boolean | undefined;
    startMs = Math.min(startMs, clock.now());
    try {
      isNew = await nonces?.take({ service, x, nonce: call.nonce });
      if (isAway) log?.info("signed calls are compared with those of other processes again");
      isAway = false;
    } catch (error) {
      // Once per outage. Whatever it is, doors must go on.
      if (!isAway) log?.warn("signed calls are compared with those of this process alone", { err: error });
      isAway = true;
    }
    if (isNew === false || (isNew === undefined && call.timeMs < startMs)) throw identityErrors.signatureReplayed();
    return isNew === undefined ? "LOCAL" : "SHARED";
  };
  return async (call, x, service) => {
    const outcome = await look(call, x, service);
    proven?.add(1, { replay_check: outcome });
    return outcome;
  };
}
