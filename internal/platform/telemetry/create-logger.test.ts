import { expect, test } from "bun:test";
import { Secret } from "../config/fields.ts";
import { runInTrace } from "./active-trace.ts";
import { createLogger } from "./create-logger.ts";

function recorder(level: "info" | "debug" = "info") {
  const lines: string[] = [];
  const log = createLogger({ level, service: "count-write", destination: { write: (line) => lines.push(line) } });
  const last = (): Record<string, unknown> => JSON.parse(lines.at(-1)!) as Record<string, unknown>;
  return { log, lines, last };
}

test("a line is one JSON object with level, time, service, message and fields", () => {
  const { log, lines, last } = recorder();
  log.debug("quiet");
  expect(lines).toEqual([]);
  log.child({ shard: 3 }).warn("late", { ageMs: 12 });
  const { time, ...rest } = last();
  expect(rest).toEqual({ level: "warn", service: "count-write", message: "late", shard: 3, ageMs: 12 });
  expect(new Date(time as string).toISOString()).toBe(time as string);
  expect(lines[0]!.endsWith("\n")).toBe(true);
});

test("a name that is given anew stands there once", () => {
  const { log, lines, last } = recorder();
  log.child({ service: "auth", shard: 1 }).child({ shard: 2 }).info("inner", { shard: 3 });
  expect(last()).toMatchObject({ service: "auth", shard: 3 });
  expect(lines[0]!.match(/"(service|shard)":/g)).toEqual(['"service":', '"shard":']);
});

test("a line carries the ids of the active span", () => {
  const { log, last } = recorder();
  const trace = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceparent: "" };
  runInTrace(trace, () => log.info("inside"));
  expect(last()).toMatchObject({ trace_id: trace.traceId, span_id: trace.spanId });
  log.info("outside");
  expect(last()["trace_id"]).toBeUndefined();
});

test("an error is told with its causes and without what a driver hangs on it", () => {
  const { log, lines, last } = recorder();
  const driver = Object.assign(new Error("WRONGPASS"), { code: "E1", command: { args: ["hunter2"] } });
  log.error("failed", { err: new Error("store away", { cause: new AggregateError([driver], "all") }) });
  expect(last()["err"]).toMatchObject({
    type: "Error",
    message: "store away",
    cause: { message: "all", errors: [{ type: "Error", message: "WRONGPASS", code: "E1" }] },
  });
  expect(lines.join("")).not.toContain("hunter2");
});

test("secrets do not reach the log, wherever they stand", () => {
  const { log, lines } = recorder();
  const apiKey = `muin_${"k".repeat(43)}`;
  const jwt = `eyJ${"h".repeat(40)}.${"p".repeat(40)}.${"s".repeat(86)}`;
  log.error(`cannot reach redis://writer:hunter2@host:6379 with ${apiKey}`, {
    password: "hunter2",
    request: { authorization: "hunter2" },
    pepper: new Secret("hunter2"),
    held: new Secret("hunter2"),
    err: new Error(`bad token ${jwt}`),
  });
  const line = lines.join("");
  for (const secret of ["hunter2", apiKey, jwt, "ppppp", "sssss"]) expect(line).not.toContain(secret);
  expect(line).toContain("redis://writer:[redacted]@host:6379");
  expect(() => JSON.parse(line) as unknown).not.toThrow();
});
