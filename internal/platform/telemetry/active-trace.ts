import { AsyncLocalStorage } from "node:async_hooks";

/** The span that the running code belongs to. */
export interface ActiveTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** W3C trace context: names this span as the parent of what it causes. */
  readonly traceparent: string;
}

const active = new AsyncLocalStorage<ActiveTrace>();

/** The active span, or `undefined` outside of one and when tracing is off. */
export function activeTrace(): ActiveTrace | undefined {
  return active.getStore();
}

/** Runs `work`, and all that it starts, with `trace` active. */
export function runInTrace<T>(trace: ActiveTrace, work: () => T): T {
  return active.run(trace, work);
}
