import type { Clock } from "../../internal/platform/clock/clock.ts";
import type { Random } from "../../internal/platform/clock/random.ts";
import type { Environment } from "../../internal/platform/config/read-config.ts";
import type { Output } from "./terminal/output.ts";

/** What commands use of the world. */
export interface Cli {
  readonly env: Environment;
  readonly output: Output;
  readonly clock: Clock;
  readonly random: Random;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Aborted by the first SIGINT or SIGTERM. Taking it makes the signal mean this; untouched, a signal ends the process. */
  signal(): AbortSignal;
}
