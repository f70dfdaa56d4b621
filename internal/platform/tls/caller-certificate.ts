import type { Clock } from "../clock/clock.ts";
import { ConfigError } from "../config/read-config.ts";
import { readCertificate, type Certificate } from "./certificate.ts";
import type { TlsConfig } from "./tls-config.ts";

/** How long a certificate is shown without a look whether its files changed, in milliseconds. */
const keptMs = 60_000;

/**
 * What a process shows to those that it calls and that ask for a certificate: the one that settings name, as its files are within the last minute, or
 * the last that could be used. `undefined` when they name none. Throws `ConfigError` when the first one cannot be used.
 */
export function createCallerCertificate(options: {
  readonly config: TlsConfig;
  /** Services that run here. */
  readonly services: readonly string[];
  readonly clock: Pick<Clock, "now" | "monotonic">;
}): (() => Pick<Certificate, "cert" | "key">) | undefined {
  const { config, services, clock } = options;
  const read = () => readCertificate(config, { nowMs: clock.now(), services });
  let current = read();
  if (current === undefined) return undefined;
  let { cert, key } = current;
  let readAtMs = clock.monotonic();
  return () => {
    if (clock.monotonic() - readAtMs >= keptMs) {
      readAtMs = clock.monotonic();
      try {
        current = read();
        if (current !== undefined) ({ cert, key } = current);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error; // Whoever serves with the same files says what is wrong with them.
      }
    }
    return { cert, key };
  };
}
