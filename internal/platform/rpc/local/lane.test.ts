import { create } from "@bufbuild/protobuf";
import { createClient, Code, ConnectError, type Client } from "@connectrpc/connect";
import { beforeEach, expect, test } from "bun:test";
import type { Caller } from "../../identity/caller.ts";
import { eventually } from "../../testing/eventually.ts";
import { planMethods } from "../call/plan.ts";
import { createLocalLane } from "./lane.ts";
import { LookRequestSchema, ProbeService } from "../testdata/probe_pb.ts";
import {
  createProbeService,
  probeCallers,
  recordingLog,
  recordingObserver,
  type ProbeEvents,
} from "../testdata/probe-service.ts";

const caller: Caller = { kind: "service", id: "count-read", principal: "service:count-read" };
let events: ProbeEvents;
let ended: string[];
let client: Client<typeof ProbeService>;

beforeEach(() => {
  events = { released: 0, address: "x", timeoutMs: undefined };
  ended = [];
  client = createClient(
    ProbeService,
    createLocalLane(planMethods([createProbeService(events)], { serviceCallers: probeCallers }), {
      observer: recordingObserver(ended),
      log: recordingLog([]),
    })(caller),
  );
});

const failure = async (work: Promise<unknown>): Promise<Code> =>
  work.then(
    () => Promise.reject(new Error("it succeeded")),
    (error: unknown) => ConnectError.from(error).code,
  );

test("the caller is the one given, whatever the headers say", async () => {
  const reply = await client.fast({ name: "a" }, { headers: { authorization: "Bearer forged" } });
  expect(reply.principal).toBe("service:count-read");
  expect(events.address).toBe("");
  expect(ended).toEqual(["in-process Fast ok"]);
});

test("a text that the wire could not carry is refused as it is there", async () => {
  const half = "\ud83d";
  expect(await failure(client.fast({ name: "a", words: [half] }))).toBe(Code.InvalidArgument);
  expect(await failure(client.slow({ name: "a", parts: [{ choice: { case: "text", value: half } }] }))).toBe(
    Code.InvalidArgument,
  );
  expect(await failure(Array.fromAsync(client.stream({ name: half })))).toBe(Code.InvalidArgument);
  expect(ended).toEqual(["Fast", "Slow", "Stream"].map((method) => `in-process ${method} invalid_argument`));
});

test("neither side can change the other's message", async () => {
  const kept: { name: string; nested?: object }[] = [];
  const service = createProbeService(events);
  const look = createClient(
    ProbeService,
    createLocalLane(
      planMethods(
        [
          {
            ...service,
            impl: {
              ...service.impl,
              look: (request: { name: string; nested?: { name: string } }) => {
                kept.push(request);
                request.name = "changed by the handler";
                return { nested: request.nested };
              },
            } as unknown as typeof service.impl,
          },
        ],
        { serviceCallers: probeCallers },
      ),
      { observer: recordingObserver(ended), log: recordingLog([]) },
    )(caller),
  );
  const request = create(LookRequestSchema, { name: "mine", nested: { name: "inner" } });
  const reply = await look.look(request);
  expect(request.name).toBe("mine");
  reply.nested!.name = "changed by the caller";
  expect(kept[0]!.nested).toMatchObject({ name: "inner" });
});

test("a deadline ends a call whose handler goes on, and is known to the handler", async () => {
  expect(await failure(client.fast({ name: "a", act: "hang" }, { timeoutMs: 30 }))).toBe(Code.DeadlineExceeded);
  expect(events.timeoutMs).toBeWithin(0, 31);
  await eventually(() => expect(ended).toEqual(["in-process Fast deadline_exceeded"]));
});

test("an abort ends a call whose handler goes on", async () => {
  const abort = new AbortController();
  const call = failure(client.fast({ name: "a", act: "hang" }, { signal: abort.signal }));
  await eventually(() => expect(events.address).toBe(""));
  abort.abort();
  expect(await call).toBe(Code.Canceled);
});

test("a stream is released when it ends and when it is aborted", async () => {
  const all = await Array.fromAsync(client.stream({ name: "a", repeat: 2 }));
  expect(all.map(({ amount }) => amount)).toEqual([0n, 1n, 1n]);
  expect(events.released).toBe(1);

  const abort = new AbortController();
  const read = async (): Promise<void> => {
    for await (const _ of client.stream({ name: "a", repeat: 1 }, { signal: abort.signal })) abort.abort();
  };
  expect(await failure(read())).toBe(Code.Canceled);
  await eventually(() => expect(events.released).toBe(2));
  await eventually(() => expect(ended).toEqual(["in-process Stream ok", "in-process Stream canceled"]));
});

test("a stream's deadline and its handler's error reach the reader", async () => {
  const late = Array.fromAsync(client.stream({ name: "a", act: "hang" }, { timeoutMs: 30 }));
  expect(await failure(late)).toBe(Code.DeadlineExceeded);
  expect(await failure(Array.fromAsync(client.stream({ name: "a", repeat: 1, act: "muin" })))).toBe(Code.NotFound);
  expect(await failure(Array.fromAsync(client.stream({ name: "INVALID" })))).toBe(Code.InvalidArgument);
});

async function* requests(): AsyncIterable<{ name: string }> {
  yield { name: "a" };
  yield { name: "b" };
}

test("streams of requests", async () => {
  expect(await client.collect(requests())).toMatchObject({ name: "b", amount: 2n });
  const replies = await Array.fromAsync(client.chat(requests()));
  expect(replies.map(({ name }) => name)).toEqual(["a", "b"]);
});
