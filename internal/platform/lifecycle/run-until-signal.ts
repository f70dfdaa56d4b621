import type { Logger } from "../telemetry/logger.ts";
import type { Component } from "./component.ts";

/** Signals that ask a process to end. */
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Exit code of a process that a second signal ended at once. */
const interruptedExitCode = 130;

/**
 * Starts a component, calls `onStarted`, and stops it in order at the first signal, also while it starts. A second signal ends
 * the process at once. Resolves with the exit code once everything has stopped: 0, or 1 when it could not stop cleanly. Rejects
 * with why it could not start.
 */
export async function runUntilSignal(
  component: Component,
  options: { readonly log: Logger; onStarted(): Promise<void> },
): Promise<number> {
  const { log } = options;
  const asked = Promise.withResolvers<NodeJS.Signals>();
  let count = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    count += 1;
    if (count > 1) process.exit(interruptedExitCode);
    log.info("stopping", { signal });
    asked.resolve(signal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  try {
    const started = component.start().then(() => options.onStarted());
    const first = await Promise.race([started.then(() => "started" as const), asked.promise]);
    if (first === "started") await asked.promise;
    else started.catch(() => undefined); // The signal came first: how far the start got no longer matters.
    try {
      await component.stop();
      log.info("stopped");
      return 0;
    } catch (error) {
      log.error("did not stop cleanly", { err: error });
      return 1;
    }
  } catch (error) {
    await component.stop().catch((failure: unknown) => log.error("did not stop cleanly", { err: failure }));
    throw error;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}
