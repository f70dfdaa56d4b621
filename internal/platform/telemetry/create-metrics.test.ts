import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import v8 from "node:v8";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./create-metrics.ts";

const { createMetrics } = real;

const own = (text: string): string[] => text.split("\n").filter((line) => line.startsWith("muin_"));

test("counters, gauges and histograms are rendered as Prometheus reads them", async () => {
  const metrics = createMetrics();
  metrics.counter({ name: "writes_total", help: "Writes.", labels: ["shard"] }).add(2, { shard: "0" });
  metrics.counter({ name: "writes_total", help: "Writes.", labels: ["shard"] }).add(3, { shard: "0" });
  metrics.gauge({ name: "depth", help: "Depth." }).set(7);
  metrics.histogram({ name: "wait_seconds", help: "Wait.", buckets: [0.1, 1] }).observe(0.5);
  expect(own(await metrics.render())).toEqual([
    'muin_writes_total{shard="0"} 5',
    "muin_depth 7",
    'muin_wait_seconds_bucket{le="0.1"} 0',
    'muin_wait_seconds_bucket{le="1"} 1',
    'muin_wait_seconds_bucket{le="+Inf"} 1',
    "muin_wait_seconds_sum 0.5",
    "muin_wait_seconds_count 1",
  ]);
});

test("a source is read when it is rendered", async () => {
  const metrics = createMetrics();
  let value = 1;
  metrics.addSource({
    name: "calls_total",
    help: "Calls.",
    type: "counter",
    read: () => [{ suffix: "", labels: { method: 'a"b' }, value }],
  });
  value = 2;
  expect(own(await metrics.render())).toEqual(['muin_calls_total{method="a\\"b"} 2']);
});

test("one name cannot be two metrics", () => {
  const metrics = createMetrics();
  metrics.gauge({ name: "depth", help: "Depth." });
  expect(() => metrics.counter({ name: "depth", help: "Depth." })).toThrow("muin_depth is made twice");
  expect(() => metrics.gauge({ name: "depth", help: "Depth.", labels: ["shard"] })).toThrow("is made twice");
});

test("the process's own metrics are among them", async () => {
  const text = await createMetrics().render();
  for (const name of ["process_cpu_seconds_total", "process_resident_memory_bytes", "nodejs_eventloop_lag_seconds"]) {
    expect(text).toContain(`\n${name} `);
  }
});

test("only a counter's name ends in _total", async () => {
  const text = await createMetrics().render();
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type]) => ({ name, type }));
  expect(types.length).toBeGreaterThan(10);
  expect(types.filter(({ name, type }) => name.endsWith("_total") !== (type === "counter"))).toEqual([]);
});

/** How often the whole heap is walked while the metrics are rendered. */
async function heapWalks(module: typeof real): Promise<number> {
  const metrics = module.createMetrics();
  using walk = spyOn(v8, "getHeapSpaceStatistics");
  expect(await metrics.render()).toContain("\nnodejs_heap_size_used_bytes ");
  return walk.mock.calls.length;
}

test("reading the metrics never walks the heap, for which all calls would stand still", async () => {
  expect(await heapWalks(real)).toBe(0);
  const path = join(import.meta.dir, "create-metrics.ts");
  expect(await heapWalks(await importMutant<typeof real>(path, "...misnamed, ...costly", "...misnamed"))).toBe(1);
});
