import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { describe, expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { OperationsService } from "../../../gen/muin/platform/v1/operations_service_pb.ts";
import { systemClock, type Clock } from "../../clock/clock.ts";
import { systemRandom } from "../../clock/random.ts";
import { createMetrics } from "../../telemetry/create-metrics.ts";
import { eventually } from "../../testing/eventually.ts";
import { importMutant } from "../../testing/mutant.ts";
import type { CallPolicy } from "./call-policy.ts";
import { createCallTransport } from "./create-call-transport.ts";
import { createHttpTransport } from "./create-http-transport.ts";

type Create = typeof createCallTransport;

/** A server on the network whose every method does what `answer` says, and a guarded client of it. */
function setUp(
  options: { policy?: Partial<CallPolicy>; create?: Create; url?: string; token?: () => Promise<string> } = {},
) {
  const state = {
    calls: [] as { method: string; header: Headers }[],
    answer: async (_context: HandlerContext): Promise<void> => {},
  };
  const answer = async (_request: unknown, context: HandlerContext) => {
    state.calls.push({ method: context.method.name, header: context.requestHeader });
    await state.answer(context);
    return {};
  };
  const router = createConnectRouter({ grpc: false, grpcWeb: false, acceptCompression: [compressionGzip] })
    .service(ApiKeyService, {
      verifyApiKey: answer,
      createApiKey: answer,
      revokeApiKey: answer,
      listApiKeys: () => ({ nextPageToken: "x".repeat(100_000) }), // More than a server sends uncompressed if it may.
    })
    .service(OperationsService, {
      tailEvents: async function* (request, context) {
        yield await answer(request, context);
        yield {};
      },
    });
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, createFetchHandler(handler)]));
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => handlers.get(new URL(request.url).pathname)!(request),
  });
  const pauses: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => {
      pauses.push(ms);
      return systemClock.sleep(ms, signal);
    },
  };
  const ends: string[] = [];
  const metrics = createMetrics();
  const transport = (options.create ?? createCallTransport)({
    target: "auth",
    transport: createHttpTransport({
      url: options.url ?? server.url.href,
      token: options.token ?? (() => Promise.resolve("first")),
    }),
    observer: {
      begin: (call) => ({
        traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
        end: (code) => ends.push(`${call.method} ${code}`),
        run: (work) => work(),
      }),
    },
    clock,
    random: { ...systemRandom, fraction: () => 0.5 },
    metrics,
    policy: { pauseMs: 2, openMs: 50, ...options.policy },
  });
  return {
    state,
    ends,
    metrics,
    keys: createClient(ApiKeyService, transport),
    operations: createClient(OperationsService, transport),
    /** Pauses between attempts: the deadline's own sleep is not one. */
    pauses: () => pauses.filter((ms) => ms < 1000),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

const secret = { secretHash: new Uint8Array(32) };
const never = () => new Promise<void>(() => {});
const unavailable = (retryAfterMs?: number): ConnectError => {
  const error = new ConnectError("away", Code.Unavailable);
  if (retryAfterMs !== undefined) {
    const value = create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) });
    error.details.push({ desc: RetryInfoSchema, value });
  }
  return error;
};
/** The first `times` calls fail, the others succeed. */
const failing = (times: number, error: () => ConnectError) => {
  let left = times;
  return async () => {
    if (left-- > 0) throw error();
  };
};
const codeOf = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "ok",
    (error: unknown) => Code[ConnectError.from(error).code],
  );

describe("an attempt", () => {
  test("carries the service's token, its trace and a deadline", async () => {
    await using it = setUp();
    await it.keys.verifyApiKey(secret);
    await it.keys.verifyApiKey(secret, { timeoutMs: 500 });
    const [first, second] = it.state.calls.map(({ header }) => header);
    expect(first!.get("authorization")).toBe("Bearer first");
    expect(first!.get("traceparent")).toBe(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`);
    const timeouts = [first, second].map((header) => Number(header!.get("connect-timeout-ms")));
    expect(timeouts[0]).toBeLessThanOrEqual(5000);
    expect(timeouts[0]).toBeGreaterThan(4000);
    expect(timeouts[1]).toBeLessThanOrEqual(500);
    expect(timeouts[1]).toBeGreaterThan(0);
    expect(it.ends).toEqual(["VerifyApiKey ok", "VerifyApiKey ok"]);
  });

  test("ends at its deadline, and is not begun when none of it is left", async () => {
    await using it = setUp();
    it.state.answer = never;
    expect(await codeOf(it.keys.verifyApiKey(secret, { timeoutMs: 60 }))).toBe("DeadlineExceeded");
    expect(it.state.calls).toHaveLength(1);
    expect(await codeOf(it.keys.verifyApiKey(secret, { timeoutMs: 0 }))).toBe("DeadlineExceeded");
    expect(it.state.calls).toHaveLength(1);
  });

  test("ends when its caller leaves", async () => {
    await using it = setUp();
    const left = new AbortController();
    it.state.answer = async () => {
      left.abort();
      await never();
    };
    expect(await codeOf(it.keys.verifyApiKey(secret, { signal: left.signal }))).toBe("Canceled");
    expect(it.ends).toEqual(["VerifyApiKey canceled"]);
  });

  test("finds a connection that fails unavailable", async () => {
    // A server that reads the request and hangs up.
    const cut = createServer((socket) => socket.once("data", () => socket.destroy())).listen(0, "127.0.0.1");
    await new Promise((resolve) => cut.once("listening", resolve));
    const { port } = cut.address() as { port: number };
    await using it = setUp({ url: `http://127.0.0.1:${port}` });
    expect(await codeOf(it.keys.createApiKey({}))).toBe("Unavailable");
    await new Promise((resolve) => cut.close(resolve));
    // Now nobody listens there.
    await new Promise((resolve) => connect(port, "127.0.0.1").once("error", resolve));
    expect(await codeOf(it.keys.createApiKey({}))).toBe("Unavailable");
  });

  test("takes a large reply", async () => {
    await using it = setUp();
    expect((await it.keys.listApiKeys({})).nextPageToken).toHaveLength(100_000);
  });

  test("is unavailable without a token", async () => {
    await using it = setUp({
      token: () => Promise.reject(new ConnectError("no token", Code.Unavailable)),
    });
    expect(await codeOf(it.keys.createApiKey({}))).toBe("Unavailable");
    expect(it.state.calls).toEqual([]);
  });
});

/** How often a call that fails once reaches the server, by method. */
async function callsAfterOneFailure(create?: Create): Promise<readonly number[]> {
  const counts: number[] = [];
  for (const method of ["verifyApiKey", "revokeApiKey", "createApiKey"] as const) {
    await using it = setUp(create === undefined ? {} : { create });
    it.state.answer = failing(1, unavailable);
    await codeOf(it.keys[method]({}));
    counts.push(it.state.calls.length);
  }
  return counts;
}

describe("another attempt", () => {
  test("is made only of what is safe to repeat", async () => {
    expect(await callsAfterOneFailure()).toEqual([2, 2, 1]);
    const { createCallTransport: eager } = await importMutant<{ createCallTransport: Create }>(
      join(import.meta.dir, "create-call-transport.ts"),
      "isRepeatable(method) ? policy.attemptsMax : 1",
      "policy.attemptsMax",
    );
    expect(await callsAfterOneFailure(eager)).toEqual([2, 2, 2]);
  });

  test("is made after unavailable alone, and not without end", async () => {
    await using it = setUp({ policy: { failuresMax: 100 } });
    it.state.answer = failing(100, () => new ConnectError("full", Code.ResourceExhausted));
    expect(await codeOf(it.keys.verifyApiKey(secret))).toBe("ResourceExhausted");
    expect(it.state.calls).toHaveLength(1);
    it.state.answer = failing(100, unavailable);
    expect(await codeOf(it.keys.verifyApiKey(secret))).toBe("Unavailable");
    expect(it.state.calls).toHaveLength(4);
    expect(it.pauses()).toEqual([1.5, 3]);
    expect(await it.metrics.render()).toContain('muin_rpc_client_retries_total{target="auth"} 2');
  });

  test("waits as long as RetryInfo says, and is not made when that is too long", async () => {
    await using it = setUp();
    it.state.answer = failing(1, () => unavailable(20));
    expect(await codeOf(it.keys.verifyApiKey(secret))).toBe("ok");
    expect(it.pauses()).toEqual([20]);
    it.state.answer = failing(1, () => unavailable(10_000));
    expect(await codeOf(it.keys.verifyApiKey(secret))).toBe("Unavailable");
    expect(it.state.calls).toHaveLength(3);
  });
});

test("a target that keeps failing is left alone, then tried by one call, then used again", async () => {
  await using it = setUp({ policy: { failuresMax: 3 } });
  it.state.answer = failing(100, unavailable);
  for (let call = 0; call < 3; call++) await codeOf(it.keys.createApiKey({}));
  const error = await it.keys.createApiKey({}).catch((thrown: unknown) => ConnectError.from(thrown));
  expect(error).toBeInstanceOf(ConnectError);
  expect((error as ConnectError).findDetails(ErrorInfoSchema)[0]?.reason).toBe("TARGET_UNAVAILABLE");
  expect((error as ConnectError).findDetails(RetryInfoSchema)).toHaveLength(1);
  expect(it.state.calls).toHaveLength(3);
  expect(await it.metrics.render()).toContain('muin_circuit_breaks_total{target="auth"} 1');

  it.state.answer = async () => {};
  await eventually(async () => expect(await codeOf(it.keys.createApiKey({}))).toBe("ok"));
  expect(await Promise.all([1, 2, 3].map(() => codeOf(it.keys.createApiKey({}))))).toEqual(["ok", "ok", "ok"]);
});

test("a target that is late again and again is left alone", async () => {
  await using it = setUp({ policy: { failuresMax: 2, slowMs: 10, openMs: 60_000 } });
  it.state.answer = never;
  const late = () => codeOf(it.keys.createApiKey({}, { timeoutMs: 50 }));
  expect([await late(), await late(), await late()]).toEqual(["DeadlineExceeded", "DeadlineExceeded", "Unavailable"]);
});

test("errors that are the caller's own do not count against the target", async () => {
  await using it = setUp({ policy: { failuresMax: 2 } });
  it.state.answer = failing(5, () => new ConnectError("no", Code.NotFound));
  for (let call = 0; call < 5; call++) expect(await codeOf(it.keys.createApiKey({}))).toBe("NotFound");
  it.state.answer = never;
  for (let call = 0; call < 3; call++) {
    expect(await codeOf(it.keys.createApiKey({}, { timeoutMs: 30 }))).toBe("DeadlineExceeded");
  }
  it.state.answer = async () => {};
  expect(await codeOf(it.keys.createApiKey({}))).toBe("ok");
});

test("a caller that stops meanwhile, and says so with its signal, does not count against the target", async () => {
  await using it = setUp({ policy: { failuresMax: 1 } });
  const stopping = new AbortController();
  it.state.answer = async () => {
    stopping.abort(new ConnectError("the server is stopping", Code.Unavailable));
    await never();
  };
  expect(await codeOf(it.keys.createApiKey({}, { signal: stopping.signal }))).toBe("Unavailable");
  it.state.answer = async () => {};
  expect(await codeOf(it.keys.createApiKey({}))).toBe("ok");
});

test("calls beyond those at once and those that wait are refused", async () => {
  await using it = setUp({ policy: { concurrentMax: 2, queueMax: 1 } });
  const gate = Promise.withResolvers<void>();
  it.state.answer = () => gate.promise;
  const calls = [1, 2, 3, 4].map(() => codeOf(it.keys.createApiKey({})));
  expect(await calls[3]).toBe("ResourceExhausted");
  gate.resolve();
  expect(await Promise.all(calls)).toEqual(["ok", "ok", "ok", "ResourceExhausted"]);
  expect(await it.metrics.render()).toContain('muin_bulkhead_rejections_total{name="auth"} 1');
});

test("a stream is observed to its end, or until its reader leaves", async () => {
  await using it = setUp();
  let seen = 0;
  for await (const _ of it.operations.tailEvents({})) seen++;
  const left = new AbortController();
  for await (const _ of it.operations.tailEvents({}, { signal: left.signal })) break;
  left.abort();
  it.state.answer = failing(1, unavailable);
  expect(await codeOf(Array.fromAsync(it.operations.tailEvents({})))).toBe("Unavailable");
  expect(seen).toBe(2);
  expect(it.ends).toEqual(["TailEvents ok", "TailEvents canceled", "TailEvents unavailable"]);
});
