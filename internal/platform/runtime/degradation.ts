import type { Clock } from "../clock/clock.ts";
import type { Component } from "../lifecycle/component.ts";
import { createLoop } from "../lifecycle/loop.ts";
import { timeout } from "../lifecycle/timeout.ts";
import type { OutboxState, OutboxView } from "../service/outbox-view.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { ComposedService } from "./compose-service.ts";

/** Outboxes are looked at so often, and may take so long to answer, in milliseconds. */
const lookEveryMs = 2000;
const lookMsMax = 1000;

/** What is wrong with a process that serves all the same: seen by operators, no reason for a router to turn away. */
export interface Degradation extends Component {
  /** Reasons for people, each with the name of its service, as of the last look; empty when all is well. */
  reasons(): readonly string[];
}

/** Watches the outboxes of the services: that none of their events is parked, and none waits for longer than `outboxAgeMsMax`. */
export function createDegradation(options: {
  readonly services: readonly Pick<ComposedService, "info" | "outboxes">[];
  readonly outboxAgeMsMax: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}): Degradation {
  const { services, outboxAgeMsMax, clock, log, metrics } = options;
  const gauge = metrics.gauge({
    name: "degraded_reasons",
    help: "Reasons for which a service works and not as it should, such as events that wait for too long.",
    labels: ["service"],
  });
  let reasons: readonly string[] = [];
  /** What an outbox says; one whose store is away says nothing, which its readiness tells. */
  const read = (outbox: OutboxView): Promise<OutboxState | undefined> =>
    timeout(clock, lookMsMax, outbox.read()).catch(() => undefined);
  const look = async (): Promise<void> => {
    const found = await Promise.all(
      services.map(async ({ info, outboxes }) => {
        const states = await Promise.all(outboxes.map(read));
        const own = states.flatMap((state) => (state === undefined ? [] : problemsOf(state, outboxAgeMsMax)));
        gauge.set(own.length, { service: info.name });
        return own.map((reason) => `${info.name}: ${reason}`);
      }),
    );
    const now = found.flat();
    if (now.length > 0 && reasons.length === 0) log.warn("degraded", { reasons: now });
    if (now.length === 0 && reasons.length > 0) log.info("no longer degraded");
    reasons = now;
  };
  const loop = createLoop({
    name: "degradation",
    clock,
    everyMs: lookEveryMs,
    work: look,
    onFailure: (error) => log.warn("outboxes could not be looked at", { err: error }),
  });
  return { ...loop, reasons: () => reasons };
}

function problemsOf({ ageMs, parked }: OutboxState, ageMsMax: number): readonly string[] {
  const age = `the oldest event in the outbox has waited for ${Math.floor(ageMs / 1000)} s`;
  return [
    ...(parked > 0 ? [`${parked} events are parked, see muin outbox list`] : []),
    ...(ageMs > ageMsMax ? [age] : []),
  ];
}
