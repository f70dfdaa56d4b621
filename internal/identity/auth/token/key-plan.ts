import { accessTokenLifeMsMax } from "../../../platform/identity/token-claims.ts";
import type { AuthConfig } from "../config.ts";
import type { SigningKey } from "./store.ts";

/** Keys stay published this much longer than their tokens live, for clocks that differ. */
const skewMs = 5 * 60_000;

/** What is to happen with the keys. */
export interface SigningKeyPlan {
  /** The one that signs now. */
  readonly active: SigningKey | undefined;
  /** Those that may sign soon, sign now, or signed a token that may still be good. */
  readonly published: readonly SigningKey[];
  /** Set when a key must be made: when it begins to sign, in milliseconds since 1970. */
  readonly createSignTimeMs: number | undefined;
}

/**
 * Plans rotation. `keys` in the order of their sign times. A key signs from its sign time until the next one's. The next is made
 * `signingKeyAheadMs` before it signs, so that every verifier has read it; the very first signs at once.
 */
export function planSigningKeys(
  keys: readonly SigningKey[],
  nowMs: number,
  policy: Pick<AuthConfig, "signingKeyLifeMs" | "signingKeyAheadMs">,
): SigningKeyPlan {
  const last = keys.at(-1);
  if (last === undefined) return { active: undefined, published: [], createSignTimeMs: nowMs };
  // A clock that was set back may find every key in its future: the first then signs.
  const active = keys.findLast((key) => key.signTimeMs <= nowMs) ?? keys[0];
  const published = keys.filter((key, index) => {
    const signEndMs = keys[index + 1]?.signTimeMs ?? Number.POSITIVE_INFINITY;
    const tokensEndMs = Math.max(signEndMs + accessTokenLifeMsMax, key.tokenExpireTimeMs);
    return nowMs < tokensEndMs + skewMs;
  });
  const endMs = last.signTimeMs + policy.signingKeyLifeMs;
  const due = nowMs >= endMs - policy.signingKeyAheadMs;
  return {
    active,
    published,
    createSignTimeMs: due ? Math.max(endMs, nowMs + policy.signingKeyAheadMs) : undefined,
  };
}
