import type { Clock } from "../../clock/clock.ts";
import type { Logger } from "../../telemetry/logger.ts";

/** Notices proxies that the server was not told of: all that they pass on would be counted as one network. */
export interface UnreadForwarding {
  /** Looks at the headers of a request. */
  look(header: (name: "x-forwarded-for" | "forwarded") => unknown): void;
  /** What to set right; `undefined` when no such header came within the last hour. */
  notice(): string | undefined;
}

/** The log names it once in so long, and the status shows it for so long after the last such request. */
const periodMs = 3_600_000;

/** Watches the requests of a server; with `trustedHops` above 0 it reads the header and there is nothing to notice. */
export function createUnreadForwarding(options: {
  readonly trustedHops: number;
  readonly clock: Pick<Clock, "monotonic">;
  readonly log: Logger;
}): UnreadForwarding {
  const { trustedHops, clock, log } = options;
  let seen: { readonly name: string; atMs: number } | undefined;
  let loggedAtMs = Number.NEGATIVE_INFINITY;

  const note = (name: string): void => {
    const nowMs = clock.monotonic();
    seen = { name, atMs: nowMs };
    if (nowMs - loggedAtMs < periodMs) return;
    loggedAtMs = nowMs;
    log.warn(text(name));
  };
  return {
    look: (header) => {
      if (trustedHops > 0) return;
      if (isGiven(header("x-forwarded-for"))) note("X-Forwarded-For");
      else if (isGiven(header("forwarded"))) note("Forwarded");
    },
    notice: () => (seen === undefined || clock.monotonic() - seen.atMs > periodMs ? undefined : text(seen.name)),
  };
}

function text(name: string): string {
  return (
    `requests come with ${name}, but no proxy is trusted: set MUIN_TRUSTED_HOPS to how many stand in front, ` +
    "else all who come through them count as one network"
  );
}

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}
