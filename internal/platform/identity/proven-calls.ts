import { identityErrors } from "./errors.ts";
import { signatureSkewMs, type SignedCall } from "./signed-call.ts";

/** Signed calls that are remembered, and so taken in a minute. */
export interface RememberedCalls {
  /** Of one key, or of the strangers of one network. */
  readonly perSignerMax: number;
  /** Of all. */
  readonly max: number;
}

/** Calls that were proven in this process, for as long as their time would be taken again. */
export interface ProvenCalls {
  /**
   * Adds a call. `signer` is whom it counts for, `x` the key that made it. Throws MuinError `unauthenticated` when it came before,
   * `resource_exhausted` when there is no room.
   */
  add(signer: string, x: string, call: SignedCall, nowMs: number): void;
}

/** Creates a memory that is empty. */
export function createProvenCalls({ perSignerMax, max }: RememberedCalls): ProvenCalls {
  /** When each call was made, by key and nonce, in the order in which they came. */
  const calls = new Map<string, { readonly signer: string; readonly timeMs: number }>();
  const callsOf = new Map<string, number>();
  /** The latest call that was forgotten: none as old is taken, even when the clock is set back; then for as long as clocks may differ. */
  let forgottenMs = 0;
  /** Calls that lie ahead since the clock was set back, by key and nonce, until its time has come there again. They count for nobody. */
  const ahead = new Map<string, number>();
  /** When the last of them is there, and may be forgotten with all others. */
  let aheadEndMs = 0;
  let latestMs = 0;
  const forget = (id: string, signer: string): void => {
    calls.delete(id);
    const left = (callsOf.get(signer) ?? 1) - 1;
    if (left === 0) callsOf.delete(signer);
    else callsOf.set(signer, left);
  };
  const forgetPassed = (nowMs: number): void => {
    if (aheadEndMs < nowMs) ahead.clear();
    for (const [id, { signer, timeMs }] of calls) {
      if (timeMs + signatureSkewMs >= nowMs) return; // One made ahead of time holds those behind it for a minute at most.
      forget(id, signer);
      forgottenMs = Math.max(forgottenMs, timeMs);
    }
  };
  /** The clock ran ahead and was put back: what was taken meanwhile must keep nobody out until it is there again. */
  const putBack = (nowMs: number): void => {
    forgottenMs = Math.min(forgottenMs, nowMs + signatureSkewMs);
    for (const [id, { signer, timeMs }] of calls) {
      if (timeMs <= nowMs + signatureSkewMs) continue;
      if (ahead.size < max) ahead.set(id, timeMs);
      aheadEndMs = Math.max(aheadEndMs, timeMs + signatureSkewMs);
      forget(id, signer);
    }
  };
  return {
    add: (signer, x, { nonce, timeMs }, nowMs) => {
      const isPutBack = nowMs < latestMs - signatureSkewMs; // By less it keeps nobody out for longer than that.
      if (isPutBack) putBack(nowMs);
      latestMs = isPutBack ? nowMs : Math.max(latestMs, nowMs);
      forgetPassed(nowMs);
      const id = `${x} ${nonce}`;
      if (ahead.get(id) === timeMs) throw identityErrors.signatureReplayed();
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
