import type { Clock } from "../clock/clock.ts";

/** Tokens are taken for so long, in milliseconds, after their revocation may have gone unheard; as API keys are while auth is away. */
const doubtMsMax = 60_000;
/** How far clocks may differ. */
const clockSkewMs = 5000;

/** Whether tokens may have been revoked unheard. */
export interface RevocationDoubt {
  /** Revocations until now may not have been heard. */
  begin(): void;
  /** All of them are known. */
  end(): void;
  /** Whether a token that was issued then, in milliseconds since 1970, is not taken any more, since nobody knows. */
  refuses(issueMs: number): boolean;
}

/** No doubt yet. One that begins again before it ended goes on from its beginning, for tokens that were issued until now. */
export function createRevocationDoubt(clock: Pick<Clock, "now" | "monotonic">): RevocationDoubt {
  let doubt: { readonly beganAtMs: number; readonly issuedUntilMs: number } | undefined;
  return {
    begin: () => {
      doubt = { beganAtMs: doubt?.beganAtMs ?? clock.monotonic(), issuedUntilMs: clock.now() + clockSkewMs };
    },
    end: () => (doubt = undefined),
    refuses: (issueMs) =>
      doubt !== undefined &&
      // One that is dated ahead, by a clock that was put back since, may be from before.
      (issueMs <= doubt.issuedUntilMs || issueMs > clock.now() + clockSkewMs) &&
      clock.monotonic() - doubt.beganAtMs >= doubtMsMax,
  };
}
