import { Code, ConnectError } from "@connectrpc/connect";
import type { Remote } from "../remote/remote-command.ts";

/** How long services may take to hear of each other's things by events, in milliseconds. */
const knownMsMax = 30_000;
const pollMs = 100;

/** Makes a call about something new again until the service that is asked has heard of it. */
export async function onceKnown<T>(
  call: () => Promise<T>,
  { clock, signal }: Pick<Remote, "clock" | "signal">,
): Promise<T> {
  const untilMs = clock.monotonic() + knownMsMax;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const code = error instanceof ConnectError ? error.code : undefined;
      if ((code !== Code.NotFound && code !== Code.FailedPrecondition) || clock.monotonic() > untilMs) throw error;
      await clock.sleep(pollMs, signal);
    }
  }
}
