import { ConfigError, variableOf } from "../config/read-config.ts";
import type { BrokerOpener, BrokerOptions, OpenBroker } from "./broker-opener.ts";
import { openRedisBroker } from "./redis/open-redis-broker.ts";

/** What opens a broker, by the scheme of its URL. */
const openers: Readonly<Record<string, BrokerOpener>> = {
  redis: openRedisBroker,
  rediss: openRedisBroker,
};

/** Schemes of a broker's URL, without colon. */
export const brokerSchemes: readonly string[] = Object.keys(openers);

/** Opens the broker at `url` by its scheme. Does no I/O. Throws `ConfigError` for a scheme that is none of `brokerSchemes`. */
export function openBroker(url: string, options: BrokerOptions): OpenBroker {
  const scheme = url.slice(0, Math.max(0, url.indexOf("://")));
  const open = Object.hasOwn(openers, scheme) ? openers[scheme] : undefined;
  if (open !== undefined) return open(url, options);
  const accepted = brokerSchemes.map((known) => `${known}://…`).join(" | ");
  // Without what follows the scheme: it may hold a password.
  throw new ConfigError([`${variableOf("", "EVENTS_URL")} got "${scheme}://…", accepts ${accepted}`]);
}
