import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, type Metric } from "prom-client";
import type { MetricOptions, Metrics } from "./metrics.ts";

/** A family of series that its owner keeps itself and hands over when it is asked. */
export interface MetricSource {
  /** Without the prefix "muin_". */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  read(): readonly MetricSample[];
}

/** A line of the exposition. */
export interface MetricSample {
  /** What follows the family's name, such as "_bucket"; empty for nothing. */
  readonly suffix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The metrics of a process. */
export interface MetricsRegistry extends Metrics {
  /** Adds a family that is kept elsewhere: for what is counted on the hottest paths. */
  addSource(source: MetricSource): void;
  /** All metrics in the Prometheus text format, version 0.0.4. */
  render(): Promise<string>;
}

/** The content type of `render`. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Gauges whose names end as counters' do (https://prometheus.io/docs/practices/naming). Each is the sum of a family beside it, by type.
 */
const misnamed = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"];

/**
 * Gauges for which Bun walks the whole heap whenever they are read: all calls stand still for it, 40 ms in a fresh process and 300 ms
 * with a million objects. `nodejs_heap_size_total_bytes` and `nodejs_heap_size_used_bytes` tell the heap's size at no cost.
 */
const costly = [
  "nodejs_heap_space_size_total_bytes",
  "nodejs_heap_space_size_used_bytes",
  "nodejs_heap_space_size_available_bytes",
];

/** Makes the metrics of a process, its own (memory, CPU, open files, event loop) among them. */
export function createMetrics(): MetricsRegistry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: "" });
  for (const name of [...misnamed, ...costly]) registry.removeSingleMetric(name);

  const made = new Map<string, { readonly metric: unknown; readonly shape: string }>();

  /** The metric of that name, made on first use. */
  const once = <M>(kind: string, options: MetricOptions<string>, make: (named: Named) => M): M => {
    const name = `muin_${options.name}`;
    const labelNames = [...(options.labels ?? [])];
    const shape = `${kind} ${labelNames.join()}`;
    const known = made.get(name);
    if (known !== undefined && known.shape !== shape) throw new Error(`metric ${name} is made twice, in two ways`);
    if (known !== undefined) return known.metric as M;
    const metric = make({ name, help: options.help, labelNames, registers: [registry] });
    made.set(name, { metric, shape });
    return metric;
  };

  return {
    counter: (options) => {
      const metric = once("counter", options, (named) => new Counter(named));
      return { add: (value, ...[labels]) => metric.inc(labels ?? {}, value) };
    },
    gauge: (options) => {
      const metric = once("gauge", options, (named) => new Gauge(named));
      return { set: (value, ...[labels]) => metric.set(labels ?? {}, value) };
    },
    histogram: (options) => {
      const buckets = [...options.buckets];
      const metric = once("histogram", options, (named) => new Histogram({ ...named, buckets }));
      return { observe: (value, ...[labels]) => metric.observe(labels ?? {}, value) };
    },
    addSource: (source) => {
      const name = `muin_${source.name}`;
      const { help, type } = source;
      const read = async () => ({
        name,
        help,
        type,
        aggregator: "sum",
        values: source.read().map(({ suffix, labels, value }) => ({ metricName: `${name}${suffix}`, labels, value })),
      });
      // The registry calls nothing but `get` of what it renders; the type asks for one of its own classes.
      registry.registerMetric({ name, help, type, aggregator: "sum", get: read } as unknown as Metric);
    },
    render: () => registry.metrics(),
  };
}

interface Named {
  readonly name: string;
  readonly help: string;
  readonly labelNames: string[];
  readonly registers: Registry[];
}
