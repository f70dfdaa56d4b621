import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { ConfigError, variableOf } from "../config/read-config.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { OpenLeases } from "./leases.ts";
import { openRedisLeases } from "./redis/open-redis-leases.ts";

/** Schemes of the leases' URL, without colon: whatever keeps the events, leases are kept in a Redis. */
export const leaseSchemes: readonly string[] = ["redis", "rediss"];

/**
 * Opens the leases at `url`. `instance` names this process for operators and need not be unique. Does no I/O. Throws `ConfigError`
 * for a scheme that is none of `leaseSchemes`.
 */
export function openLeases(
  url: string,
  options: { readonly instance: string; readonly clock: Clock; readonly random: Random; readonly log: Logger },
): OpenLeases {
  const scheme = url.slice(0, Math.max(0, url.indexOf("://")));
  if (leaseSchemes.includes(scheme)) return openRedisLeases(url, options);
  const accepted = leaseSchemes.map((known) => `${known}://…`).join(" | ");
  // Without what follows the scheme: it may hold a password.
  throw new ConfigError([`${variableOf("", "COORDINATION_URL")} got "${scheme}://…", accepts ${accepted}`]);
}
