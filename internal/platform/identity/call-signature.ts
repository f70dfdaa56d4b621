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
   * for a key that calls too often. The same key may be asked for again.
   */
  prove(key: DeviceKey): void;
}

/** Reads signatures, and remembers which were proven. */
export interface SignatureReader {
  /** Throws MuinError `unauthenticated` when the header is absent, malformed or not of now. Proves nothing yet. */
  read(header: string | null, method: string, body: Uint8Array): CallSignature;
}

/** How far a signature's time may be from the server's clock, either way. */
const signatureSkewMs = 30_000;
/** Signed calls of one key that are remembered, and so taken in a minute. */
const callsPerKeyMax = 3000;
/** Signed calls of all keys that are remembered. */
const callsMax = 500_000;
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
export function createSignatureReader(clock: Pick<Clock, "now">): SignatureReader {
  const seen = createProvenCalls();
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
        prove: ({ x, key }) => {
          if (provenBy === x) return;
          if (!verify(null, signedText(call), key, signature)) throw identityErrors.signatureInvalid();
          seen.add(x, call, clock.now());
          provenBy = x;
        },
      };
    },
  };
}

/** Calls that were proven, for as long as their time would be taken again. */
function createProvenCalls(): { add(x: string, call: SignedCall, nowMs: number): void } {
  /** When each call was made, by key and nonce, in the order in which they came. */
  const calls = new Map<string, { readonly x: string; readonly timeMs: number }>();
  const callsOf = new Map<string, number>();
  /** The latest call that was forgotten: none as old is taken, even when the clock is set back. */
  let forgottenMs = 0;
  const forgetPassed = (nowMs: number): void => {
    for (const [id, { x, timeMs }] of calls) {
      if (timeMs + signatureSkewMs >= nowMs) return; // One made ahead of time holds those behind it for a minute at most.
      calls.delete(id);
      const left = (callsOf.get(x) ?? 1) - 1;
      if (left === 0) callsOf.delete(x);
      else callsOf.set(x, left);
      forgottenMs = Math.max(forgottenMs, timeMs);
    }
  };
  return {
    add: (x, { nonce, timeMs }, nowMs) => {
      forgetPassed(nowMs);
      const id = `${x} ${nonce}`;
      if (calls.has(id) || timeMs <= forgottenMs) throw identityErrors.signatureReplayed();
      const known = callsOf.get(x) ?? 0;
      if (known >= callsPerKeyMax || calls.size >= callsMax) {
        throw identityErrors.tooManySignedCalls();
      }
      calls.set(id, { x, timeMs });
      callsOf.set(x, known + 1);
    },
  };
}
