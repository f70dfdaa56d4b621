import type { Clock } from "../clock/clock.ts";
import type { CallObserver, CallSpan, ObservedCall } from "./call-observer.ts";
import type { MetricSample, MetricsRegistry } from "./create-metrics.ts";
import type { Tracing, TraceSpan } from "./tracing.ts";

/** Upper bounds of call times, in seconds. */
const durationBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** Codes that a server answers for by its own fault (OpenTelemetry's rule for spans of gRPC servers). To a client every error is one. */
const serverFaults: ReadonlySet<string> = new Set([
  "unknown",
  "deadline_exceeded",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
]);

/**
 * Makes the observer of all calls that a process serves, or of all that it makes: one per side and registry. Keeps, by service,
 * method and protocol: calls started, finished by code, under way, and their duration; and traces them when tracing is on.
 */
export function createCallObserver(options: {
  readonly side: "server" | "client";
  readonly metrics: MetricsRegistry;
  readonly tracing: Tracing;
  readonly clock: Pick<Clock, "monotonic">;
}): CallObserver {
  const { side, metrics, tracing, clock } = options;
  // Counted in plain cells and turned into samples when they are read: hashing labels on each call would cost more than counting.
  const cells = new Map<string, Map<string, Map<string, Cell>>>();
  const list: Cell[] = [];

  const cellOf = (call: ObservedCall): Cell => {
    let methods = cells.get(call.service);
    if (methods === undefined) cells.set(call.service, (methods = new Map()));
    let protocols = methods.get(call.method);
    if (protocols === undefined) methods.set(call.method, (protocols = new Map()));
    let cell = protocols.get(call.protocol);
    if (cell === undefined) {
      protocols.set(call.protocol, (cell = new Cell(call)));
      list.push(cell);
    }
    return cell;
  };

  const family = (
    name: string,
    type: "counter" | "gauge" | "histogram",
    help: string,
    read: (cell: Cell) => MetricSample[],
  ) => metrics.addSource({ name: `rpc_${side}_${name}`, type, help, read: () => list.flatMap(read) });
  family("started_total", "counter", "Calls begun.", (cell) => [sample(cell.labels, cell.started)]);
  family("finished_total", "counter", "Calls ended, by code.", (cell) =>
    [...cell.finished].map(([code, count]) => sample({ ...cell.labels, code }, count)),
  );
  family("in_flight", "gauge", "Calls under way.", (cell) => [sample(cell.labels, cell.started - cell.ended())]);
  family("duration_seconds", "histogram", "Time from the beginning of a call to its end.", (cell) => cell.durations());

  return {
    begin: (call) => {
      const cell = cellOf(call);
      cell.started++;
      const span = tracing.on
        ? tracing.startSpan({
            name: cell.spanName,
            kind: side,
            parent: call.traceparent,
            attributes: cell.attributes,
          })
        : undefined;
      return new OpenCall(side, cell, clock, span);
    },
  };
}

/** What is kept of a method over a protocol. */
class Cell {
  readonly labels: Readonly<Record<string, string>>;
  readonly spanName: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly finished = new Map<string, number>();
  readonly #buckets = new Float64Array(durationBuckets.length + 1);
  #seconds = 0;
  started = 0;

  constructor(call: ObservedCall) {
    this.labels = { service: call.service, method: call.method, protocol: call.protocol };
    this.spanName = `${call.service}/${call.method}`;
    this.attributes = { "rpc.system.name": call.protocol, "rpc.method": this.spanName };
  }

  end(code: string, seconds: number): void {
    this.finished.set(code, (this.finished.get(code) ?? 0) + 1);
    let bucket = 0;
    while (bucket < durationBuckets.length && seconds > durationBuckets[bucket]!) bucket++;
    this.#buckets[bucket]!++;
    this.#seconds += seconds;
  }

  ended(): number {
    return this.finished.values().reduce((sum, count) => sum + count, 0);
  }

  durations(): MetricSample[] {
    let below = 0;
    const buckets = [...this.#buckets].map((count, index) => {
      below += count;
      return sample({ ...this.labels, le: durationBuckets[index]?.toString() ?? "+Inf" }, below, "_bucket");
    });
    return [...buckets, sample(this.labels, this.#seconds, "_sum"), sample(this.labels, below, "_count")];
  }
}

class OpenCall implements CallSpan {
  readonly #side: "server" | "client";
  readonly #cell: Cell;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #span: TraceSpan | undefined;
  readonly #beganMs: number;
  #ended = false;

  constructor(side: "server" | "client", cell: Cell, clock: Pick<Clock, "monotonic">, span: TraceSpan | undefined) {
    this.#side = side;
    this.#cell = cell;
    this.#clock = clock;
    this.#span = span;
    this.#beganMs = clock.monotonic();
  }

  get traceparent(): string | undefined {
    return this.#span?.traceparent;
  }

  end(code: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cell.end(code, (this.#clock.monotonic() - this.#beganMs) / 1000);
    if (this.#span === undefined) return;
    const failed = code !== "ok" && (this.#side === "client" || serverFaults.has(code));
    this.#span.end(failed ? code : undefined);
  }

  run<T>(work: () => T): T {
    return this.#span === undefined ? work() : this.#span.run(work);
  }
}

function sample(labels: Readonly<Record<string, string>>, value: number, suffix = ""): MetricSample {
  return { suffix, labels, value };
}
