import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { createContextValues, createHandlerContext } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import {
  type BatchWriteResponse,
  BatchWriteRequestSchema,
  BatchWriteResponseSchema,
  CountWriteService,
  DecrementRequestSchema,
  DecrementResponseSchema,
  IncrementRequestSchema,
  IncrementResponseSchema,
  SetRequestSchema,
  SetResponseSchema,
} from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { type Caller, callerKey } from "../../../platform/identity/caller.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { type CountFixture, openCounts } from "../count-fixture.ts";
import type { CountWriter } from "./writer.ts";
import { createHandlers } from "./handlers.ts";

let redis: TestRedis;
let counts: CountFixture;
beforeAll(async () => {
  redis = await startRedis();
  counts = await openCounts(redis.url);
});
afterAll(async () => {
  await counts[Symbol.asyncDispose]();
  await redis.stop();
});

const one: Caller = { kind: "api_key", id: "one", principal: "api_key:one", scopes: new Set() };
const two: Caller = { kind: "api_key", id: "two", principal: "api_key:two", scopes: new Set() };

/** The context of a call by `caller`. */
function context(caller: Caller = one, timeoutMs = 5000) {
  return createHandlerContext({
    service: CountWriteService,
    method: CountWriteService.method.increment,
    protocolName: "test",
    requestMethod: "POST",
    url: "http://test",
    timeoutMs,
    contextValues: createContextValues().set(callerKey, caller),
  });
}

/** The handlers, whose replies to single writes are made whole messages. */
function handlers(writer: CountWriter = counts.writer, createThem = createHandlers) {
  const made = createThem({ writer, clock: systemClock });
  const { increment, decrement, set, batchWrite } = made;
  if (!increment || !decrement || !set || !batchWrite) throw new Error("a handler is missing");
  return {
    increment: async (...asked: Parameters<typeof increment>) =>
      create(IncrementResponseSchema, await increment(...asked)),
    decrement: async (...asked: Parameters<typeof decrement>) =>
      create(DecrementResponseSchema, await decrement(...asked)),
    set: async (...asked: Parameters<typeof set>) => create(SetResponseSchema, await set(...asked)),
    batchWrite,
  };
}

describe("a write", () => {
  test("adds 1 where no delta is given, subtracts, and sets", async () => {
    const [countId] = await seed(1);
    const { increment, decrement, set } = handlers();
    const first = await increment(create(IncrementRequestSchema, { countId }), context());
    expect(first).toMatchObject({ value: { countId, value: 1n, revision: 2n }, replayed: false });
    const seconds = Number(first.value?.updateTime?.seconds);
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(60);
    expect(await decrement(create(DecrementRequestSchema, { countId, delta: 5n }), context())).toMatchObject({
      value: { value: -4n, revision: 3n },
    });
    expect(await set(create(SetRequestSchema, { countId, value: 9_007_199_254_740_991n }), context())).toMatchObject({
      value: { value: 9_007_199_254_740_991n, revision: 4n },
    });
  });

  test("is answered as the first time when it is repeated by its caller", async () => {
    const [countId] = await seed(1);
    const { increment } = handlers();
    const request = create(IncrementRequestSchema, { countId, requestId: "request-1" });
    const first = await increment(request, context());
    expect(await increment(request, context())).toEqual({ ...first, replayed: true });
    expect(await increment(request, context(two))).toMatchObject({ value: { value: 2n }, replayed: false });
  });

  test("is refused with its reason", async () => {
    const [countId, deleted] = await seed(2);
    await counts.states.remove({ countId: deleted as string, infoRevision: 2 });
    const { increment, set } = handlers();
    const refuse = (id: string | undefined, delta: bigint, requestId = "") =>
      increment(create(IncrementRequestSchema, { countId: id as string, delta, requestId }), context());
    expect(refuse("missing", 1n)).rejects.toMatchObject({
      code: "not_found",
      reason: "COUNT_NOT_FOUND",
      metadata: { count_id: "missing" },
    });
    expect(refuse(deleted, 1n)).rejects.toMatchObject({ code: "failed_precondition", reason: "COUNT_DELETED" });
    await set(create(SetRequestSchema, { countId, value: 9_007_199_254_740_991n }), context());
    expect(refuse(countId, 1n)).rejects.toMatchObject({
      code: "out_of_range",
      reason: "VALUE_OUT_OF_RANGE",
      metadata: { value: "9007199254740991", bound: "9007199254740991" },
    });
    await set(create(SetRequestSchema, { countId, value: 0n, requestId: "request-1" }), context());
    expect(refuse(countId, 1n, "request-1")).rejects.toMatchObject({
      code: "invalid_argument",
      reason: "REQUEST_ID_REUSED",
    });
  });
});

async function checkOrder(batchWritesMax: number, createThem?: typeof createHandlers): Promise<void> {
  const [countId] = await seed(1);
  await using other = await openCounts(redis.url, { limits: { batchWritesMax } });
  const { batchWrite } = handlers(other.writer, createThem);
  const writes = Array.from({ length: 1000 }, (_, place) => ({
    countId,
    operation: { case: "set", value: BigInt(place) } as const,
  }));
  const reply = await run(() => batchWrite(create(BatchWriteRequestSchema, { writes }), context()));
  const revisions = reply.results.map(({ result }) =>
    result.case === "success" ? result.value.value?.revision : undefined,
  );
  expect(revisions).toEqual(writes.map((_, place) => BigInt(place + 2)));
}

describe("a batch", () => {
  test("gives each write its own result, in order, over all shards", async () => {
    const ids = await seed(20);
    const { batchWrite } = handlers();
    const writes = [
      ...ids.map((countId) => ({ countId, operation: { case: "increment", value: 3n } as const })),
      { countId: "missing", operation: { case: "increment", value: 1n } as const },
      ...ids.map((countId) => ({ countId, operation: { case: "decrement", value: 1n } as const })),
    ];
    const reply = await run(() => batchWrite(create(BatchWriteRequestSchema, { writes }), context()));
    const shards = new Set(ids.map((countId) => counts.writer.shardOf(countId)));
    expect(shards.size).toBe(4);
    expect(
      reply.results.map(({ result }) => (result.case === "success" ? result.value.value?.value : undefined)),
    ).toEqual([...ids.map(() => 3n), undefined, ...ids.map(() => 2n)]);
    const error = reply.results[20]?.result;
    if (error?.case !== "error") throw new Error("the write of a missing Count was not refused");
    expect(error.value.code).toBe(5);
    const [detail] = error.value.details;
    if (detail === undefined) throw new Error("the refusal has no reason");
    expect(anyUnpack(detail, ErrorInfoSchema)).toMatchObject({
      reason: "COUNT_NOT_FOUND",
      domain: "muin",
      metadata: { count_id: "missing" },
    });
  });

  test.each([512, 7])("applies 1000 writes of one Count in list order, %d at a time", async (batchWritesMax) => {
    await checkOrder(batchWritesMax);
    const [path, own] = ["../../shared/key-schema.ts", "handlers.ts"].map((file) => join(import.meta.dir, file)) as [
      string,
      string,
    ];
    const [rule, instead] = ["else places.push(place);", "else places.unshift(place);"];
    const mutant = await importMutant<{ createHandlers: typeof createHandlers }>(path, rule, instead, [own]);
    await caught(() => checkOrder(batchWritesMax, mutant.createHandlers));
  });

  test("says of each write that its outcome is unknown, or that it was not applied, when the store stalls", async () => {
    const ids = await seed(8);
    const { batchWrite } = handlers();
    const writes = ids.map((countId) => ({ countId, operation: { case: "increment", value: 1n } as const }));
    const request = create(BatchWriteRequestSchema, { writes });
    await redis.kill("SIGSTOP");
    const late = await run(() => batchWrite(request, context(one, 300)));
    await redis.kill("SIGCONT");
    expect(reasonsOf(late)).toEqual(ids.map(() => "OUTCOME_UNKNOWN"));
    await redis.kill("SIGKILL");
    await eventually(() => expect(counts.writer.obstacle()).toBeDefined());
    const away = await run(() => batchWrite(request, context(one, 300)));
    await redis.restart();
    expect(reasonsOf(away)).toEqual(ids.map(() => "STORE_UNAVAILABLE"));
    const [result] = away.results;
    if (result?.result.case !== "error") throw new Error("the write was not refused");
    expect(result.result.value.details.some((detail) => anyUnpack(detail, RetryInfoSchema) !== undefined)).toBe(true);
    const after = await run(() => batchWrite(request, context()));
    // The unknown one went on without its caller; the one that was never sent did not.
    expect(after.results.map(({ result: { value } }) => value)).toMatchObject(
      ids.map(() => ({ value: { value: 2n } })),
    );
  });
});

let seeded = 0;
/** Makes new Counts of value 0. */
async function seed(count: number): Promise<[string, ...string[]]> {
  const ids = Array.from({ length: count }, () => `handlers.${(seeded += 1)}`);
  await counts.seed(...ids);
  return ids as [string, ...string[]];
}

async function run(call: () => unknown): Promise<BatchWriteResponse> {
  return create(BatchWriteResponseSchema, (await call()) as BatchWriteResponse);
}

function reasonsOf(reply: BatchWriteResponse): (string | undefined)[] {
  return reply.results.map(({ result }) => {
    if (result.case !== "error") return undefined;
    const infos = result.value.details.map((detail) => anyUnpack(detail, ErrorInfoSchema));
    return infos.find((info) => info !== undefined)?.reason;
  });
}
