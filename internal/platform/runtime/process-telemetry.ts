import type { Clock } from "../clock/clock.ts";
import { version } from "../config/version.ts";
import type { Component } from "../lifecycle/component.ts";
import type { CallObserver } from "../telemetry/call-observer.ts";
import { createCallObserver } from "../telemetry/create-call-observer.ts";
import { createMetrics, type MetricsRegistry } from "../telemetry/create-metrics.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createTracing, type Tracing } from "../telemetry/tracing.ts";

/** How a process shows what it does. As a component it sends what is left of its traces when it stops. */
export interface ProcessTelemetry extends Component {
  readonly metrics: MetricsRegistry;
  readonly tracing: Tracing;
  /** Observes calls that the process serves. */
  readonly serverObserver: CallObserver;
  /** Observes calls that the process makes. */
  readonly clientObserver: CallObserver;
}

/** Makes the telemetry of a process, named `service` and, among those of its service, `instance`. */
export function createProcessTelemetry(options: {
  readonly service: string;
  readonly instance: string;
  /** Base address of an OTLP/HTTP collector; `undefined` or empty turns tracing off. */
  readonly endpoint: string | undefined;
  /** Share of the traces that begin here, 0 to 100. */
  readonly samplePercent: number;
  readonly clock: Clock;
  readonly log: Logger;
}): ProcessTelemetry {
  const { samplePercent, clock, ...of } = options;
  const metrics = createMetrics();
  const tracing = createTracing({ ...of, sampleRatio: samplePercent / 100, version });
  return {
    name: "tracing",
    metrics,
    tracing,
    serverObserver: createCallObserver({ side: "server", metrics, tracing, clock }),
    clientObserver: createCallObserver({ side: "client", metrics, tracing, clock }),
    start: async () => {},
    stop: () => tracing.shutdown(),
  };
}
