import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { expect, test } from "bun:test";
import { activeTrace } from "./active-trace.ts";
import { createLogger } from "./create-logger.ts";
import { createTracing, type Tracing } from "./tracing.ts";

interface SentSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
}

/** Fields of a protobuf message that are themselves bytes, by number. */
function fieldsOf(bytes: Uint8Array): Map<number, Uint8Array[]> {
  const fields = new Map<number, Uint8Array[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) fields.set(number, [...(fields.get(number) ?? []), reader.bytes()]);
    else reader.skip(type);
  }
  return fields;
}

const all = (level: Uint8Array[], field: number): Uint8Array[] =>
  level.flatMap((bytes) => fieldsOf(bytes).get(field) ?? []);

/** A collector that keeps what it gets: ExportTraceServiceRequest.resource_spans.scope_spans.spans. */
function startCollector(status = 200) {
  const spans: SentSpan[] = [];
  const paths: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      paths.push(new URL(request.url).pathname);
      for (const bytes of all(all(all([await request.bytes()], 1), 2), 2)) {
        const fields = fieldsOf(bytes);
        const hex = (number: number) => Buffer.from(fields.get(number)?.[0] ?? []).toString("hex");
        spans.push({
          name: Buffer.from(fields.get(5)![0]!).toString(),
          traceId: hex(1),
          spanId: hex(2),
          parentId: hex(4),
        });
      }
      return new Response(new Uint8Array(), { status, headers: { "content-type": "application/x-protobuf" } });
    },
  });
  return { spans, paths, endpoint: server.url.href, [Symbol.asyncDispose]: () => server.stop(true) };
}

function tracingTo(endpoint: string | undefined, sampleRatio = 1): Tracing & { lines: string[] } {
  const lines: string[] = [];
  const log = createLogger({ level: "debug", service: "test", destination: { write: (line) => lines.push(line) } });
  return { ...createTracing({ endpoint, sampleRatio, service: "test", version: "0", instance: "i", log }), lines };
}

test("spans reach the collector with their parents, across calls and events", async () => {
  await using collector = startCollector();
  const tracing = tracingTo(collector.endpoint);
  const remote = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const call = tracing.startSpan({ name: "call", kind: "server", parent: remote });
  await call.run(async () => {
    await Promise.resolve();
    expect(activeTrace()?.traceparent).toBe(call.traceparent);
    tracing.startSpan({ name: "query", kind: "client", parent: undefined }).end("unavailable");
  });
  call.end();
  call.end();
  // What travels with an event is a string, and its consumer runs elsewhere.
  tracing.startSpan({ name: "consume", kind: "consumer", parent: call.traceparent }).end();
  tracing.startSpan({ name: "alone", kind: "internal", parent: "00-malformed" }).end();
  await tracing.shutdown();
  await tracing.shutdown();

  expect(collector.paths).toEqual(["/v1/traces"]);
  const named = (name: string) => collector.spans.find((span) => span.name === name)!;
  expect(collector.spans.map((span) => span.name).toSorted()).toEqual(["alone", "call", "consume", "query"]);
  expect(named("call")).toMatchObject({ traceId: "a".repeat(32), parentId: "b".repeat(16) });
  expect(named("query")).toMatchObject({ traceId: "a".repeat(32), parentId: named("call").spanId });
  expect(named("consume")).toMatchObject({ traceId: "a".repeat(32), parentId: named("call").spanId });
  expect(named("alone").parentId).toBe("");
});

test("sampling keeps the decision that came with a call", async () => {
  await using collector = startCollector();
  const tracing = tracingTo(collector.endpoint, 0);
  const own = tracing.startSpan({ name: "own", kind: "server", parent: undefined });
  expect(own.traceparent).toEndWith("-00");
  own.end();
  tracing.startSpan({ name: "theirs", kind: "server", parent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` }).end();
  await tracing.shutdown();
  expect(collector.spans.map((span) => span.name)).toEqual(["theirs"]);
});

test("without a collector's address there is no tracing", async () => {
  const tracing = tracingTo(undefined);
  const span = tracing.startSpan({ name: "none", kind: "server", parent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` });
  expect(tracing.on).toBe(false);
  expect(span.traceparent).toBeUndefined();
  expect(span.run(() => activeTrace())).toBeUndefined();
  await tracing.shutdown();
});

test("a collector that refuses costs spans and a line in the log, nothing else", async () => {
  await using collector = startCollector(400);
  const tracing = tracingTo(collector.endpoint);
  tracing.startSpan({ name: "lost", kind: "server", parent: undefined }).end();
  await tracing.shutdown();
  expect(tracing.lines.join("")).toContain("spans could not be sent");
});
