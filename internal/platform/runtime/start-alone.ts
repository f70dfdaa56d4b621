import type { Clock } from "../clock/clock.ts";
import type { Component } from "../lifecycle/component.ts";
import { startPatiently } from "../lifecycle/start-patiently.ts";
import type { Logger } from "../telemetry/logger.ts";

/** What stands alone waits so long for a server when it starts, in milliseconds: one that is there has answered by then. */
const waitMsMax = 300;

/** Starts what reaches a server, for a service that serves without: one that stands still holds nobody up. */
export function startAlone(
  component: Component,
  { clock, log }: { readonly clock: Pick<Clock, "sleep">; readonly log: Logger },
): Component {
  return startPatiently(component, {
    waitMsMax,
    clock,
    failedLate: (error) => log.error("goes on without what could not start", { part: component.name, err: error }),
  });
}
