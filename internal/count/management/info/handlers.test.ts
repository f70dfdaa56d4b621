import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { CreateCountRequestSchema } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { CountInfoSchema, CountState } from "../../../gen/muin/count/v1/count_pb.ts";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { keysOf, shardOf } from "../../shared/key-schema.ts";
import { fixtureShards, startManagement, type ManagementFixture } from "../management-fixture.ts";

let service: ManagementFixture;
beforeAll(async () => {
  service = await startManagement();
});
afterAll(() => service[Symbol.asyncDispose]());

let ids = 0;
/** An id that no other test uses. */
const newId = (): string => `t${(ids += 1)}`;

/** "ok", or the code and reason that a call was refused with. */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
    return `${Code[code]} ${info?.reason ?? rawMessage}`;
  }
}

const eventsOf = async (countId: string): Promise<readonly string[]> =>
  (await service.events())
    .filter(({ event }) => event.countId === countId)
    .map(({ type, event }) => `${type} ${event.aggregateVersion}`);

describe("the life of a Count", () => {
  test("is created, updated, deleted and undeleted, each with its event, value and revision kept", async () => {
    const { client, states } = service;
    const countId = newId();
    const created = await client.createCount({
      countId,
      countInfo: { displayName: "Visits", labels: { site: "seoul" }, minValue: -5n, maxValue: 100n },
      initialValue: 3n,
    });
    expect({
      name: created.countInfo?.displayName,
      state: created.countInfo?.state,
      value: created.value?.value,
      revision: created.value?.revision,
    }).toEqual({ name: "Visits", state: CountState.ACTIVE, value: 3n, revision: 1n });
    expect((await client.getCountInfo({ countId })).countInfo).toEqual(created.countInfo);

    const updated = await client.updateCount({ countInfo: { countId, displayName: "Guests", maxValue: 50n } });
    expect(updated.countInfo).toMatchObject({
      displayName: "Guests",
      labels: { site: "seoul" },
      minValue: -5n,
      maxValue: 50n,
    });
    expect(updated.countInfo?.etag).not.toBe(created.countInfo?.etag);
    expect((await states.read([countId]))[0]?.record).toMatchObject({ value: 3, minValue: -5, maxValue: 50 });

    const deleted = await client.deleteCount({ countId });
    expect(deleted.countInfo?.state).toBe(CountState.DELETED);
    expect((await states.read([countId]))[0]?.record).toMatchObject({ state: "deleted", value: 3, revision: 1 });
    expect((await client.getCountInfo({ countId })).countInfo?.state).toBe(CountState.DELETED);

    const back = await client.undeleteCount({ countId });
    expect(back.countInfo).toMatchObject({ state: CountState.ACTIVE, displayName: "Guests" });
    expect((await states.read([countId]))[0]?.record).toMatchObject({ state: "active", value: 3, revision: 1 });
    expect(await eventsOf(countId)).toEqual(["CountCreated 1", "CountUpdated 2", "CountDeleted 3", "CountCreated 4"]);
    const last = (await service.events()).findLast(({ event }) => event.countId === countId);
    expect(last?.event.countInfo).toEqual(back.countInfo);
  });

  test("refuses what its state does not allow", async () => {
    const { client } = service;
    const countId = newId();
    const info = { countInfo: { countId, displayName: "x" } };
    expect(await outcomeOf(client.getCountInfo({ countId }))).toBe("NotFound COUNT_NOT_FOUND");
    expect(await outcomeOf(client.updateCount(info))).toBe("NotFound COUNT_NOT_FOUND");
    expect(await outcomeOf(client.deleteCount({ countId }))).toBe("NotFound COUNT_NOT_FOUND");
    expect(await outcomeOf(client.undeleteCount({ countId }))).toBe("NotFound COUNT_NOT_FOUND");
    await client.createCount({ countId });
    expect(await outcomeOf(client.createCount({ countId }))).toBe("AlreadyExists COUNT_EXISTS");
    expect(await outcomeOf(client.undeleteCount({ countId }))).toBe("AlreadyExists COUNT_NOT_DELETED");
    await client.deleteCount({ countId });
    expect(await outcomeOf(client.createCount({ countId }))).toBe("AlreadyExists COUNT_EXISTS");
    expect(await outcomeOf(client.updateCount(info))).toBe("FailedPrecondition COUNT_DELETED");
    expect(await outcomeOf(client.deleteCount({ countId }))).toBe("FailedPrecondition COUNT_DELETED");
    expect(await eventsOf(countId)).toEqual(["CountCreated 1", "CountDeleted 2"]);
  });

  test("an update that changes nothing has no version and no event", async () => {
    const { client } = service;
    const countId = newId();
    const content = { displayName: "Visits", labels: { site: "seoul" }, maxValue: 9n };
    const { countInfo: first } = await client.createCount({ countId, countInfo: content });
    const repeats = [{ countId }, { countId, ...content }, { countId, etag: first?.etag ?? "" }];
    for (const countInfo of repeats) {
      expect((await client.updateCount({ countInfo, requestId: `nothing-${newId()}` })).countInfo).toEqual(first);
    }
    expect(
      (await client.updateCount({ countInfo: { countId }, updateMask: { paths: ["min_value"] } })).countInfo,
    ).toEqual(first);
    const stale = client.updateCount({ countInfo: { countId, etag: '"0"' } });
    expect(await outcomeOf(stale)).toBe("Aborted ETAG_MISMATCH");
    expect(await eventsOf(countId)).toEqual(["CountCreated 1"]);
    const { countInfo: other } = await client.updateCount({ countInfo: { countId, displayName: "Guests" } });
    expect(other?.etag).not.toBe(first?.etag);
  });

  test("changes only what the etag has read", async () => {
    const { client } = service;
    const countId = newId();
    const { countInfo: first } = await client.createCount({ countId });
    const etag = first?.etag ?? "";
    const { countInfo: second } = await client.updateCount({ countInfo: { countId, displayName: "a", etag } });
    const stale = "Aborted ETAG_MISMATCH";
    expect(await outcomeOf(client.updateCount({ countInfo: { countId, displayName: "b", etag } }))).toBe(stale);
    expect(await outcomeOf(client.deleteCount({ countId, etag }))).toBe(stale);
    const { countInfo: deleted } = await client.deleteCount({ countId, etag: second?.etag ?? "" });
    expect(await outcomeOf(client.undeleteCount({ countId, etag }))).toBe(stale);
    expect(await outcomeOf(client.undeleteCount({ countId, etag: deleted?.etag ?? "" }))).toBe("ok");
    expect((await client.getCountInfo({ countId })).countInfo?.displayName).toBe("a");
  });

  test("ignores output-only fields, and refuses to update them", async () => {
    const { client } = service;
    const countId = newId();
    const forged = {
      state: CountState.DELETED,
      etag: "mine",
      createTime: { seconds: 1n },
      updateTime: { seconds: 1n },
    };
    const { countInfo } = await client.createCount({ countId, countInfo: { countId, ...forged } });
    expect(countInfo?.state).toBe(CountState.ACTIVE);
    expect(countInfo?.etag).not.toBe("mine");
    expect(Number(countInfo?.createTime?.seconds)).toBeGreaterThan(1_000_000_000);
    for (const path of ["state", "etag", "create_time", "count_id", "toString", "display_name.x"]) {
      const call = client.updateCount({ countInfo: { countId }, updateMask: { paths: [path] } });
      expect(await outcomeOf(call)).toBe("InvalidArgument FIELD_INVALID");
      expect(call).rejects.toThrow("display_name, labels, min_value, max_value");
    }
  });
});

describe("the bounds", () => {
  test.each([
    [{}, 0n],
    [{ minValue: 5n }, 5n],
    [{ maxValue: -5n }, -5n],
    [{ minValue: -5n, maxValue: 5n }, 0n],
  ])("%p give the first value %p when none is asked for", async (countInfo, value) => {
    const created = await service.client.createCount({ countId: newId(), countInfo });
    expect(created.value?.value).toBe(value);
  });

  test("refuse a first value outside of them, and nothing is left behind", async () => {
    const { client } = service;
    const countId = newId();
    for (const initialValue of [-1n, 11n]) {
      const call = client.createCount({ countId, countInfo: { minValue: 0n, maxValue: 10n }, initialValue });
      expect(await outcomeOf(call)).toBe("OutOfRange VALUE_OUT_OF_RANGE");
    }
    expect(await outcomeOf(client.getCountInfo({ countId }))).toBe("NotFound COUNT_NOT_FOUND");
    expect(await service.info.sql`SELECT 1 FROM count_info WHERE count_id = ${countId}`).toHaveLength(0);
    expect(await outcomeOf(client.createCount({ countId }))).toBe("ok");
  });

  test("must admit the value that there is: the counts store decides, and the Count goes on as it was", async () => {
    const { client, states } = service;
    const countId = newId();
    const { countInfo } = await client.createCount({ countId, countInfo: { maxValue: 10n }, initialValue: 7n });
    const narrow = { countInfo: { countId, displayName: "n", maxValue: 6n } };
    expect(await outcomeOf(client.updateCount(narrow))).toBe("OutOfRange VALUE_OUT_OF_RANGE");
    expect((await client.getCountInfo({ countId })).countInfo).toEqual(countInfo);
    expect((await states.read([countId]))[0]?.record).toMatchObject({ value: 7, maxValue: 10 });
    const { countInfo: updated } = await client.updateCount({ countInfo: { countId, maxValue: 7n } });
    expect(updated?.maxValue).toBe(7n);
    expect(await eventsOf(countId)).toHaveLength(2);
  });
});

describe("an update", () => {
  const before = { displayName: "a", labels: { k: "v" }, minValue: -1n, maxValue: 9n };
  type Info = MessageInitShape<typeof CountInfoSchema>;
  test.each<[string[] | undefined, Info, Info]>([
    [undefined, { displayName: "b" }, { ...before, displayName: "b" }],
    [undefined, { labels: { x: "y" }, minValue: -2n }, { ...before, labels: { x: "y" }, minValue: -2n }],
    [undefined, {}, before],
    [["display_name"], { labels: { x: "y" } }, { ...before, displayName: "" }],
    [["labels", "max_value"], { displayName: "b", maxValue: 8n }, { ...before, labels: {}, maxValue: 8n }],
    [["min_value"], {}, { displayName: "a", labels: { k: "v" }, maxValue: 9n }],
    [["*"], { displayName: "b" }, { displayName: "b" }],
  ])("with mask %p of %p", async (paths, given, expected) => {
    const { client } = service;
    const countId = newId();
    await client.createCount({ countId, countInfo: before, initialValue: 0n });
    const { countInfo } = await client.updateCount({
      countInfo: { countId, ...given },
      ...(paths === undefined ? {} : { updateMask: { paths } }),
    });
    const { displayName = "", labels = {}, minValue, maxValue } = countInfo ?? {};
    expect({ displayName, labels, minValue, maxValue }).toEqual({
      displayName: "",
      labels: {},
      minValue: undefined,
      maxValue: undefined,
      ...expected,
    } as never);
  });
});

describe("INVALID_ARGUMENT", () => {
  const invalid = "InvalidArgument FIELD_INVALID";
  test.each<[string, MessageInitShape<typeof CountInfoSchema>]>([
    ["bounds in disorder", { minValue: 2n, maxValue: 1n }],
    ["a control character in the name", { displayName: "a\u0000b" }],
    ["a control character in a label", { labels: { k: "a\nb" } }],
    ["another count_id inside", { countId: "other" }],
  ])("%s", async (_, countInfo) => {
    expect(await outcomeOf(service.client.createCount({ countId: newId(), countInfo }))).toBe(invalid);
  });

  test("bounds that only together are in disorder, an unknown Count's id, '*' beside others", async () => {
    const { client } = service;
    const countId = newId();
    await client.createCount({ countId, countInfo: { minValue: 0n, maxValue: 10n } });
    expect(await outcomeOf(client.updateCount({ countInfo: { countId, maxValue: -1n } }))).toBe(invalid);
    expect(await outcomeOf(client.updateCount({ countInfo: { countId: "A!" } }))).toBe(invalid);
    const updateMask = { paths: ["*", "labels"] };
    expect(await outcomeOf(client.updateCount({ countInfo: { countId }, updateMask }))).toBe(invalid);
    expect(await outcomeOf(client.listCounts({ labels: ["a=\u0000"] }))).toBe(invalid);
  });
});

describe("a request_id", () => {
  test("gets the first reply again, whatever happened since, and nothing happens twice", async () => {
    const { client } = service;
    const countId = newId();
    const create = {
      countId,
      countInfo: { labels: { a: "1", b: "2" } },
      initialValue: 1n,
      requestId: crypto.randomUUID(),
    };
    const created = await client.createCount(create);
    const update = { countInfo: { countId, displayName: "x" }, requestId: crypto.randomUUID() };
    const updated = await client.updateCount(update);
    const remove = { countId, requestId: crypto.randomUUID() };
    const removed = await client.deleteCount(remove);
    const restore = { countId, requestId: crypto.randomUUID() };
    const restored = await client.undeleteCount(restore);
    // The order of labels is no content.
    expect(await client.createCount({ ...create, countInfo: { labels: { b: "2", a: "1" } } })).toEqual(created);
    expect(await client.updateCount(update)).toEqual(updated);
    expect(await client.deleteCount(remove)).toEqual(removed);
    expect(await client.undeleteCount(restore)).toEqual(restored);
    expect(await eventsOf(countId)).toHaveLength(4);
  });

  test("is refused for anything else, and means nothing to another caller", async () => {
    const { client } = service;
    const [countId, other] = [newId(), newId()];
    const requestId = crypto.randomUUID();
    await client.createCount({ countId, requestId });
    const reused = "InvalidArgument REQUEST_ID_REUSED";
    expect(await outcomeOf(client.createCount({ countId, requestId, initialValue: 1n }))).toBe(reused);
    expect(await outcomeOf(client.createCount({ countId: other, requestId }))).toBe(reused);
    expect(await outcomeOf(client.deleteCount({ countId, requestId }))).toBe(reused);
    expect(await outcomeOf(service.callerOf("another").createCount({ countId, requestId }))).toBe(
      "AlreadyExists COUNT_EXISTS",
    );
    expect(await outcomeOf(service.callerOf("another").createCount({ countId: other, requestId }))).toBe("ok");
  });

  test("of a refused request is free again, and so is one whose window is over", async () => {
    const { client, info } = service;
    const countId = newId();
    const requestId = crypto.randomUUID();
    const narrow = { countInfo: { countId, maxValue: -1n }, requestId };
    expect(await outcomeOf(client.updateCount(narrow))).toBe("NotFound COUNT_NOT_FOUND");
    await client.createCount({ countId });
    expect(await outcomeOf(client.updateCount(narrow))).toBe("OutOfRange VALUE_OUT_OF_RANGE");
    expect(await outcomeOf(client.deleteCount({ countId, requestId }))).toBe("ok");
    await info.sql`UPDATE request_memory SET expire_time = now() WHERE request_id = ${requestId}`;
    expect(await outcomeOf(client.undeleteCount({ countId, requestId }))).toBe("ok");
  });

  test("sent many times at once is one creation", async () => {
    const { client } = service;
    const countId = newId();
    const request = { countId, initialValue: 4n, requestId: crypto.randomUUID() };
    const replies = await Promise.all(Array.from({ length: 50 }, () => client.createCount(request)));
    expect(new Set(replies.map(({ value }) => value?.revision))).toEqual(new Set([1n]));
    expect(await eventsOf(countId)).toEqual(["CountCreated 1"]);
  });
});

test("of 1000 concurrent creators of one Count exactly one wins", async () => {
  const countId = newId();
  const outcomes = await Promise.all(
    Array.from({ length: 1000 }, (_, index) =>
      outcomeOf(service.client.createCount({ countId, initialValue: BigInt(index) })),
    ),
  );
  const won = outcomes.filter((outcome) => outcome === "ok");
  const lost = outcomes.filter((outcome) => outcome === "AlreadyExists COUNT_EXISTS");
  expect([won.length, lost.length]).toEqual([1, 999]);
  expect((await service.states.read([countId]))[0]?.record?.value).toBe(outcomes.indexOf("ok"));
  expect(await eventsOf(countId)).toEqual(["CountCreated 1"]);
});

const idsOf = async (query: Parameters<ManagementFixture["client"]["listCounts"]>[0]): Promise<readonly string[]> =>
  (await service.client.listCounts(query)).countInfos.map(({ countId }) => countId);

/** What came of each creation of a batch: its Count and value, or the code and reason of its error. */
async function batchOf(
  requests: readonly MessageInitShape<typeof CreateCountRequestSchema>[],
): Promise<readonly string[]> {
  const { results } = await service.client.batchCreateCounts({ requests: [...requests] });
  return results.map(({ result }) => {
    if (result.case === "success") return `${result.value.countInfo?.countId} ${result.value.value?.value}`;
    const [info] = (result.value?.details ?? []).flatMap((detail) => anyUnpack(detail, ErrorInfoSchema) ?? []);
    return `${Code[result.value?.code ?? 0]} ${info?.reason}`;
  });
}

describe("BatchCreateCounts", () => {
  test("creates each by itself, in the order of the list, and says of each what came of it", async () => {
    const [a, b, c, d] = [newId(), newId(), newId(), newId()];
    await service.client.createCount({ countId: a });
    const requestId = `batch-${b}`;
    expect(
      await batchOf([
        { countId: a },
        { countId: b, initialValue: 3n, requestId },
        { countId: c, countInfo: { displayName: "x\u0001" } },
        { countId: b, initialValue: 3n, requestId },
        { countId: b, initialValue: 4n },
        { countId: d, initialValue: 3n, requestId },
        { countId: c, initialValue: 7n, countInfo: { maxValue: 6n } },
        { countId: c, countInfo: { displayName: "Visits", labels: { site: "seoul" }, minValue: 2n } },
      ]),
    ).toEqual([
      "AlreadyExists COUNT_EXISTS",
      `${b} 3`,
      "InvalidArgument FIELD_INVALID",
      `${b} 3`,
      "AlreadyExists COUNT_EXISTS",
      "InvalidArgument REQUEST_ID_REUSED",
      "OutOfRange VALUE_OUT_OF_RANGE",
      `${c} 2`,
    ]);
    expect(await batchOf([{ countId: b, initialValue: 3n, requestId }])).toEqual([`${b} 3`]);
    expect(await outcomeOf(service.client.getCountInfo({ countId: d }))).toBe("NotFound COUNT_NOT_FOUND");
    const { countInfo } = await service.client.getCountInfo({ countId: c });
    expect(countInfo).toMatchObject({ displayName: "Visits", labels: { site: "seoul" }, minValue: 2n, etag: "v1" });
    for (const countId of [a, b, c]) expect(await eventsOf(countId)).toEqual(["CountCreated 1"]);
    expect((await service.states.read([b]))[0]?.record).toMatchObject({ state: "active", value: 3, revision: 1 });
  });

  test("takes 1000, which two callers may ask for at once, and no more", async () => {
    const prefix = `${newId()}.`;
    const requests = Array.from({ length: 1000 }, (_, place) => ({ countId: `${prefix}${place}` }));
    const [one, other] = await Promise.all([batchOf(requests), batchOf(requests.toReversed())]);
    const created = [...one, ...other].filter((word) => word !== "AlreadyExists COUNT_EXISTS");
    expect(new Set(created)).toEqual(new Set(requests.map(({ countId }) => `${countId} 0`)));
    expect(created).toHaveLength(1000);
    const events = (await service.events()).filter(({ event }) => event.countId.startsWith(prefix));
    expect([events.length, new Set(events.map(({ event }) => event.countId)).size]).toEqual([1000, 1000]);
    const tooMany = service.client.batchCreateCounts({ requests: [...requests, { countId: `${prefix}more` }] });
    expect(await outcomeOf(tooMany)).toBe("InvalidArgument FIELD_INVALID");
    expect(await outcomeOf(service.client.batchCreateCounts({}))).toBe("InvalidArgument FIELD_INVALID");
  });
});

describe("a list", () => {
  beforeAll(async () => {
    const { client } = service;
    for (const [countId, labels] of [
      ["list.a1", { kind: "x" }],
      ["list.a2", { kind: "x", site: "s=1" }],
      ["list.a3", { kind: "y" }],
      ["list.a_", {}],
      ["list.b1", { kind: "x" }],
    ] as const) {
      await client.createCount({ countId, countInfo: { labels } });
    }
    await client.createCount({ countId: "list.a0" });
    await client.deleteCount({ countId: "list.a0" });
  });
  test("keeps to prefix, labels and state, in the order of the ids", async () => {
    expect(await idsOf({ prefix: "list.a" })).toEqual(["list.a1", "list.a2", "list.a3", "list.a_"]);
    expect(await idsOf({ prefix: "list.", labels: ["kind=x"] })).toEqual(["list.a1", "list.a2", "list.b1"]);
    expect(await idsOf({ prefix: "list.", labels: ["kind=x", "site=s=1"] })).toEqual(["list.a2"]);
    expect(await idsOf({ prefix: "list.", labels: ["kind=x", "kind=y"] })).toEqual([]);
    expect(await idsOf({ prefix: "list.", state: CountState.DELETED })).toEqual(["list.a0"]);
    expect(await idsOf({ prefix: "list.", state: CountState.PENDING })).toEqual([]);
  });

  test("comes in pages, each Count once, also while others come and go", async () => {
    const { client } = service;
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await client.listCounts({ prefix: "list.", pageSize: 2, pageToken });
      seen.push(...page.countInfos.map(({ countId }) => countId));
      ({ nextPageToken: pageToken } = page);
      if (seen.length === 2) {
        expect(seen).toEqual(["list.a1", "list.a2"]);
        await client.createCount({ countId: "list.a2-late" });
        await client.deleteCount({ countId: "list.a3" });
      }
    } while (pageToken !== "");
    expect(seen).toEqual(["list.a1", "list.a2", "list.a2-late", "list.a_", "list.b1"]);
  });

  test("refuses a token of another query, and one that is none", async () => {
    const { client } = service;
    const { nextPageToken: pageToken } = await client.listCounts({ prefix: "list.", pageSize: 1 });
    expect(pageToken).not.toContain("list.");
    const refused = "InvalidArgument PAGE_TOKEN_INVALID";
    expect(await outcomeOf(client.listCounts({ prefix: "list.a", pageToken }))).toBe(refused);
    expect(await outcomeOf(client.listCounts({ prefix: "list.", labels: ["a=b"], pageToken }))).toBe(refused);
    expect(await outcomeOf(client.listCounts({ prefix: "list.", state: CountState.DELETED, pageToken }))).toBe(refused);
    expect(await outcomeOf(client.verifyCounts({ prefix: "list.", pageToken }))).toBe(refused);
    const forged = Buffer.concat([Buffer.from(pageToken, "base64url").subarray(0, 12), Buffer.from("a\0")]);
    for (const token of ["nonsense", `${pageToken}=`, forged.toString("base64url")]) {
      expect(await outcomeOf(client.listCounts({ prefix: "list.", pageToken: token }))).toBe(refused);
    }
    expect(await outcomeOf(client.listCounts({ prefix: "list.", pageSize: 3, pageToken }))).toBe("ok");
  });
});

test("with the counts store away nothing is accepted, and with CountInfoDB's server in reach all goes on when it is back", async () => {
  await using own = await startManagement();
  await own.client.createCount({ countId: "a" });
  await own.redis.kill("SIGKILL");
  const away = "Unavailable COUNTS_UNAVAILABLE";
  await eventually(async () => expect(await outcomeOf(own.client.createCount({ countId: "b" }))).toBe(away));
  expect(await outcomeOf(own.client.deleteCount({ countId: "a" }))).toBe(away);
  expect(await own.info.sql`SELECT 1 FROM count_change`).toHaveLength(0);
  expect((await own.client.listCounts({})).countInfos.map(({ countId }) => countId)).toEqual(["a"]);
  await own.redis.restart();
  await eventually(async () => expect(await outcomeOf(own.client.deleteCount({ countId: "a" }))).toBe("ok"));
});

test("with the outbox of the counts store full nothing is created, and what exists can be changed", async () => {
  // By the setting, which count-write reads too.
  const outboxBytesMax = 1024 * 1024;
  await using own = await startManagement({ config: { outboxBytesMax } });
  await own.client.createCount({ countId: "a" });
  const key = keysOf(shardOf("b", fixtureShards)).meta;
  const full = [0, 0, outboxBytesMax, 0, 1, 0, ...Array.from({ length: 10 }, () => 0)];
  await own.counts.client.set(key, Buffer.from(Float64Array.from(full).buffer));
  expect(await outcomeOf(own.client.createCount({ countId: "b" }))).toBe("ResourceExhausted OUTBOX_FULL");
  expect(await outcomeOf(own.client.getCountInfo({ countId: "b" }))).toBe("NotFound COUNT_NOT_FOUND");
  expect(await own.info.sql`SELECT 1 FROM count_info WHERE count_id = 'b'`).toHaveLength(0);
  expect(await outcomeOf(own.client.deleteCount({ countId: "a" }))).toBe("ok");
  await own.counts.client.del(key);
  expect(await outcomeOf(own.client.createCount({ countId: "b" }))).toBe("ok");
});

test("a republish announces the present state of every Count again, at its version", async () => {
  await using own = await startManagement();
  await own.client.createCount({ countId: "a" });
  await own.client.updateCount({ countInfo: { countId: "a", displayName: "x" } });
  await own.client.createCount({ countId: "b" });
  await own.client.deleteCount({ countId: "b" });
  const before = await own.events();
  const republisher = own.parts.find((part) => part.part === "republisher");
  expect(await republisher?.republish()).toBe(2);
  const again = (await own.events()).slice(before.length);
  expect(again).toEqual([before[1], before[3]] as never);
});
