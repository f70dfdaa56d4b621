import { expect, test } from "bun:test";
import { createCallObserver } from "./create-call-observer.ts";
import { createMetrics } from "./create-metrics.ts";
import type { SpanOptions, Tracing } from "./tracing.ts";

const call = { service: "muin.test.v1.S", method: "Do", protocol: "connect", traceparent: undefined };
const labels = 'service="muin.test.v1.S",method="Do",protocol="connect"';

function observe(side: "server" | "client" = "server") {
  const metrics = createMetrics();
  const began: SpanOptions[] = [];
  const ended: (string | undefined)[] = [];
  const tracing: Tracing = {
    on: true,
    startSpan: (options) => {
      began.push(options);
      return { traceparent: "00-x", end: (error) => ended.push(error), run: (work) => work() };
    },
    shutdown: async () => {},
  };
  let nowMs = 0;
  const observer = createCallObserver({ side, metrics, tracing, clock: { monotonic: () => nowMs } });
  const lines = async () => (await metrics.render()).split("\n").filter((line) => line.startsWith("muin_rpc"));
  return { observer, began, ended, lines, pass: (ms: number) => (nowMs += ms) };
}

test("counts calls begun, ended by code, under way, and their time", async () => {
  const { observer, lines, pass } = observe();
  const first = observer.begin(call);
  const second = observer.begin(call);
  observer.begin(call);
  pass(3);
  first.end("ok");
  first.end("internal");
  pass(20_000);
  second.end("not_found");
  expect(await lines()).toEqual([
    `muin_rpc_server_started_total{${labels}} 3`,
    `muin_rpc_server_finished_total{${labels},code="ok"} 1`,
    `muin_rpc_server_finished_total{${labels},code="not_found"} 1`,
    `muin_rpc_server_in_flight{${labels}} 1`,
    ...[
      [0.0005, 0],
      [0.001, 0],
      [0.0025, 0],
      ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10].map((bound) => [bound, 1]),
      ["+Inf", 2],
    ].map(([bound, count]) => `muin_rpc_server_duration_seconds_bucket{${labels},le="${bound}"} ${count}`),
    `muin_rpc_server_duration_seconds_sum{${labels}} 20.006`,
    `muin_rpc_server_duration_seconds_count{${labels}} 2`,
  ]);
});

test.each([
  ["server", "ok", undefined],
  ["server", "not_found", undefined],
  ["server", "internal", "internal"],
  ["client", "not_found", "not_found"],
] as const)("the span of a %s call that ends %s ends with the error %p", (side, code, error) => {
  const { observer, began, ended } = observe(side);
  const span = observer.begin({ ...call, traceparent: "00-parent" });
  expect(span.traceparent).toBe("00-x");
  span.end(code);
  expect(began).toEqual([
    {
      name: "muin.test.v1.S/Do",
      kind: side,
      parent: "00-parent",
      attributes: { "rpc.system.name": "connect", "rpc.method": "muin.test.v1.S/Do" },
    },
  ]);
  expect(ended).toEqual([error]);
});
