import { verify } from "node:crypto";
import { createContextKey, type ContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import { identityErrors } from "./errors.ts";
import { signedText, type DeviceKey, type SignedCall } from "./signed-call.ts";

/** The signature of a call under way. */
export interface CallSignature {
  /**
   * Throws MuinError unless the key made it and no call of the key had its nonce before: `unauthenticated`, or `resource_exhausted`
   * for a key that calls too often. The same key may be asked for again. A key that is no registered device's, which anybody can
   * make as many of as they like, counts for the network that it comes from, and is remembered apart.
   */
  prove(key: DeviceKey, stranger?: Stranger): void;
}

/** Who signs with a key that nobody knows yet. */
export interface Stranger {
  /** As `networkOf` gives it. */
  readonly network: string;
}

/** Reads signatures, and remembers which were proven. */
export interface SignatureReader {
  /** Throws MuinError `unauthenticated` when the header is absent, malformed or not of now. Proves nothing yet. */
  read(header: string | null, method: string, body: Uint8Array): CallSignature;
}

/** How far a signature's time may be from the server's clock, either way. */
const signatureSkewMs = 30_000;
/** Signed calls that are remembered, and so taken in a minute. */
export interface RememberedCalls {
  /** Of one key, or of the strangers of one network. */
  readonly perSignerMax: number;
  /** Of all. */
  readonly max: number;
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

/** A reader that has seen no call. What it remembers of calls is lost with it. */
export function createSignatureReader(
  clock: Pick<Clock, "now">,
  remembered: Readonly<Record<keyof typeof rememberedOf, RememberedCalls>> = rememberedOf,
): SignatureReader {
  const devices = createProvenCalls(remembered.devices);
  const strangers = createProvenCalls(remembered.strangers);
  return {
    read: (header, method, body) => {
      if (header === null) throw signatureMissing();
      const match = header.length > headerCharsMax ? null : headerPattern.exec(header);
      if (match === null) throw identityErrors.signatureMalformed();
      const [, time = "", nonce = "", text = ""] = match;
      const call: SignedCall = { method, body, timeMs: Number(time), nonce };
      const nowMs = clock.now();
      if (Math.abs(call.timeMs - nowMs) > signatureSkewMs) {
        throw identityErrors.signatureTime({ metadata: { server_time_ms: String(nowMs) } });
      }
      const signature = Buffer.from(text, "base64url");
      let provenBy: string | undefined;
      return {
        prove: ({ x, key }, stranger) => {
          if (provenBy === x) return;
          if (!verify(null, signedText(call), key, signature)) throw identityErrors.signatureInvalid();
          if (stranger === undefined) devices.add(x, x, call, clock.now());
          else strangers.add(stranger.network, x, call, clock.now());
          provenBy = x;
        },
      };
    },
  };
}

/** Calls that were proven, for as long as their time would be taken again. */
function createProvenCalls({ perSignerMax, max }: RememberedCalls): {
  /** `signer` is whom the call counts for, `x` the key that made it. */
  add(signer: string, x: string, call: SignedCall, nowMs: number): void;
} {
  /** When each call was made, by key and nonce, in the order in which they came. */
  const calls = new Map<string, { readonly signer: string; readonly timeMs: number }>();
  const callsOf = new Map<string, number>();
  /** The latest call that was forgotten: none as old is taken, even when the clock is set back. */
  let forgottenMs = 0;
  const forgetPassed = (nowMs: number): void => {
    for (const [id, { signer, timeMs }] of calls) {
      if (timeMs + signatureSkewMs >= nowMs) return; // One made ahead of time holds those behind it for a minute at most.
      calls.delete(id);
      const left = (callsOf.get(signer) ?? 1) - 1;
      if (left === 0) callsOf.delete(signer);
      else callsOf.set(signer, left);
      forgottenMs = Math.max(forgottenMs, timeMs);
    }
  };
  return {
    add: (signer, x, { nonce, timeMs }, nowMs) => {
      forgetPassed(nowMs);
      const id = `${x} ${nonce}`;
      if (calls.has(id) || timeMs <= forgottenMs) throw identityErrors.signatureReplayed();
      const known = callsOf.get(signer) ?? 0;
      if (known >= perSignerMax || calls.size >= max) {
        throw identityErrors.tooManySignedCalls();
      }
      calls.set(id, { signer, timeMs });
      callsOf.set(signer, known + 1);
    },
  };
}
