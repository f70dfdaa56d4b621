import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { Component } from "../lifecycle/component.ts";
import type { Logger } from "../telemetry/logger.ts";
import { serviceTokenGraceMs } from "./token-claims.ts";

/** A token and how long it lives, as auth tells it. */
export interface RenewedToken {
  readonly token: string;
  readonly lifeMs: number;
}

/** The token that a service shows to others. While it runs, it is renewed at half its life. */
export interface ServiceToken extends Component {
  /**
   * The last token, for as long as others may take it; renewed first when there is none. Rejects with ConnectError `unavailable` when
   * there is none to be had.
   */
  current(): Promise<string>;
}

/** Pause after a renewal that failed; longer when auth refused the secret, which asking again does not change. */
const retryMs = 5000;
const refusedRetryMs = 30_000;
/** A call that needs a token asks for one no sooner than this after the last try. */
const askAgainMs = 500;
const secretCharsMax = 256;

/** A token of none yet. The secret is read from its file at each renewal, so that a new one is used from the next on. */
export function createServiceToken(options: {
  readonly secretFile: string;
  /** Exchanges the secret. Rejects with ConnectError. */
  readonly renew: (secret: string) => Promise<RenewedToken>;
  readonly clock: Clock;
  readonly log: Logger;
}): ServiceToken {
  const { secretFile, clock, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let known: (RenewedToken & { readonly receivedAtMs: number }) | undefined;
  let renewing: Promise<number> | undefined;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let running: Promise<void> = Promise.resolve();

  /** Never rejects: tells how long to wait before the next renewal. */
  const attempt = async (): Promise<number> => {
    const askedAtMs = (triedAtMs = clock.monotonic());
    try {
      known = { ...(await options.renew(await readSecret(secretFile))), receivedAtMs: askedAtMs };
      return known.lifeMs / 2;
    } catch (error) {
      const isRefused = error instanceof ConnectError && error.code === Code.Unauthenticated;
      log.warn("the token of this service could not be renewed", { err: error });
      return isRefused ? refusedRetryMs : retryMs;
    }
  };
  const renew = (): Promise<number> => (renewing ??= attempt().finally(() => (renewing = undefined)));

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await clock.sleep(await renew(), signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  };
  const usable = (): string | undefined =>
    known !== undefined && clock.monotonic() - known.receivedAtMs < serviceTokenGraceMs ? known.token : undefined;

  return {
    name: "service token",
    start: async () => {
      running = run();
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
    current: async () => {
      const token = usable();
      if (token !== undefined) return token;
      if (renewing !== undefined || clock.monotonic() - triedAtMs >= askAgainMs) await renew();
      const renewed = usable();
      if (renewed !== undefined) return renewed;
      throw new ConnectError("this service has no token to call others with", Code.Unavailable);
    },
  };
}

async function readSecret(path: string): Promise<string> {
  const text = (await Bun.file(path).text()).trim();
  if (text === "" || text.length > secretCharsMax) throw new Error(`${path} holds no bootstrap secret`);
  return text;
}
