import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../internal/gen/google/rpc/error_details_pb.ts";
import { CountImportService } from "../../../internal/gen/muin/count/v1/count_import_service_pb.ts";
import {
  CountManagementService,
  type CreateCountResultSchema,
} from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountState } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import { caught, importMutant } from "../../../internal/platform/testing/mutant.ts";
import type { Repeat } from "../remote/repeat.ts";
import * as targets from "./server-target.ts";

/** Repeats as often as Muin says that it is away. */
const repeat: Repeat = async (call) => {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ConnectError) || error.code !== Code.Unavailable) throw error;
    }
  }
};

function failure(code: Code, reason: string): ConnectError {
  return new ConnectError("refused", code, undefined, [{ desc: ErrorInfoSchema, value: { reason } }]);
}

/** The same as the result of one creation of a batch. */
function refusal(code: Code, reason: string): MessageInitShape<typeof CreateCountResultSchema> {
  const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason }))];
  return { result: { case: "error", value: { code, message: "refused", details } } };
}

/** A Muin with a Count "tx", which it says a few times not to have, and whose name is changed before the first who names it. */
function muinWith(given: { readonly name: string; readonly state?: CountState; readonly missing?: number }) {
  let { name, missing = 0 } = given;
  let version = 1;
  const calls: string[] = [];
  const here = (what: string): void => {
    calls.push(what);
    missing -= 1;
    if (missing >= 0) throw failure(Code.NotFound, "COUNT_NOT_FOUND");
  };
  const transport = createRouterTransport(({ service }) => {
    service(CountManagementService, {
      batchCreateCounts: ({ requests }) => ({
        results: requests.map(() => refusal(Code.AlreadyExists, "COUNT_EXISTS")),
      }),
      getCountInfo: () => {
        here("get");
        const { state = CountState.ACTIVE } = given;
        return { countInfo: { countId: "tx", displayName: name, etag: `${version}`, state } };
      },
      updateCount: ({ countInfo, updateMask }) => {
        here("update");
        expect(updateMask?.paths).toEqual(["display_name"]);
        if (version === 1) {
          version = 2;
          throw failure(Code.Aborted, "ETAG_MISMATCH");
        }
        expect(countInfo?.etag).toBe("2");
        name = countInfo?.displayName ?? "";
        return { countInfo: { countId: "tx", displayName: name } };
      },
    });
    service(CountImportService, {
      importBatch: () => {
        here("batch");
        return { offset: 10n, sequence: 1n };
      },
    });
  });
  return { transport, calls, name: () => name };
}

function targetOf({ transport }: ReturnType<typeof muinWith>, { createServerTarget }: typeof targets) {
  return createServerTarget(
    createClient(CountImportService, transport),
    createClient(CountManagementService, transport),
    repeat,
  );
}

/** Throws unless a Count that is just being created is waited for. */
async function checkWaiting(of: typeof targets): Promise<void> {
  const muin = muinWith({ name: "TX", missing: 3 });
  const target = targetOf(muin, of);
  const batch = { offsetEnd: 10, lines: 1, writes: new Map([["tx", 1]]), assignments: [], tailHash: undefined };
  expect(await target.claim("one")("tx", "TX").catch(String)).toBe(true);
  expect(muin.calls).toEqual(["get", "get", "get", "get"]);
  const other = muinWith({ name: "TX", missing: 2 });
  expect(await targetOf(other, of).apply("one", 1, batch).catch(String)).toEqual([]);
  expect(other.calls).toEqual(["batch", "batch", "batch"]);
}

/** Throws unless a Count without a name is given the value's, as it is then. */
async function checkNaming(of: typeof targets): Promise<void> {
  const muin = muinWith({ name: "" });
  expect(await targetOf(muin, of).claim("one")("tx", "TX").catch(String)).toBe(true);
  expect([muin.name(), muin.calls]).toEqual(["TX", ["get", "update", "get", "update"]]);
}

/** Throws unless claims that come together share a call, each with its own answer, and only what failed is asked for again. */
async function checkTogether(of: typeof targets): Promise<void> {
  const calls: string[][] = [];
  let away = 2;
  const transport = createRouterTransport(({ service }) => {
    service(CountManagementService, {
      batchCreateCounts: ({ requests }) => {
        calls.push(requests.map(({ countId }) => countId));
        if ((away -= 1) === 0) throw failure(Code.Unavailable, "STORE_UNAVAILABLE");
        return {
          results: requests.map(({ countId, countInfo, requestId }) => {
            expect([countInfo?.displayName, requestId.length]).toEqual([countId.toUpperCase(), 32]);
            const isSlow = countId === "c0007" && calls.length === 1;
            if (isSlow) return refusal(Code.Unavailable, "OUTCOME_UNKNOWN");
            if (countId === "c0003") return refusal(Code.AlreadyExists, "COUNT_EXISTS");
            if (countId === "c0005") return refusal(Code.InvalidArgument, "FIELD_INVALID");
            return { result: { case: "success" as const, value: {} } };
          }),
        };
      },
      getCountInfo: ({ countId }) => ({ countInfo: { countId, displayName: "another", etag: "1" } }),
    });
    service(CountImportService, {});
  });
  const target = of.createServerTarget(
    createClient(CountImportService, transport),
    createClient(CountManagementService, transport),
    repeat,
  );
  const claim = target.claim("one");
  const ids = Array.from({ length: 1003 }, (_, place) => `c${place.toString().padStart(4, "0")}`);
  const claims = await Promise.all(
    ids.map((id) => claim(id, id.toUpperCase()).catch((error: ConnectError) => error.code)),
  );
  expect(claims.flatMap((answer, place) => (answer === true ? [] : [`${ids[place]} ${answer}`]))).toEqual([
    "c0003 false",
    `c0005 ${Code.InvalidArgument}`,
  ]);
  // The second call fails as a whole: what it asked for is asked for again, and of the first what was unknown.
  expect(calls.map((call) => call.length)).toEqual([1000, 3, 1, 3]);
  expect(calls.slice(2)).toEqual([["c0007"], ["c1000", "c1001", "c1002"]]);
}

describe("Counts that are claimed together", () => {
  test("are created with one call", () => checkTogether(targets));

  test.each([
    ["the bound of a call", "waiting.slice(0, creationsMax)", "waiting.slice(0)"],
    ["the errors of each", "else reject(", "else resolve("],
    ["waiting for each other", "queueMicrotask(() => void send());", "void send();"],
    [
      "the cause of a failure",
      "for (const { reject } of batch) reject(error);",
      "for (const { resolve } of batch) resolve();",
    ],
  ])("are noticed to be without %s", async (_, from, to) => {
    const [together, target] = ["create-together.ts", "server-target.ts"].map((file) =>
      join(import.meta.dir, file),
    ) as [string, string];
    const mutant = await importMutant<typeof targets>(together, from, to, [target]);
    await caught(() => checkTogether(mutant));
  });
});

describe("a Count that there is", () => {
  test.each<[name: string, state: CountState, owned: boolean]>([
    ["TX", CountState.ACTIVE, true],
    ["Texas", CountState.ACTIVE, false],
    ["TX", CountState.DELETED, true],
    ["Texas", CountState.DELETED, false],
    ["", CountState.DELETED, true],
  ])("named %p in state %p is the value's: %p", async (name, state, owned) => {
    const muin = muinWith({ name, state });
    expect(await targetOf(muin, targets).claim("one")("tx", "TX")).toBe(owned);
    expect(muin.calls).toEqual(["get"]);
  });

  test("is waited for while it is created, and given a name when it has none", async () => {
    await checkWaiting(targets);
    await checkNaming(targets);
  });

  test.each([
    ["Counts that are being created", checkWaiting, '|| reasonOf(error) !== "COUNT_NOT_FOUND"', "|| true"],
    ["who changed it meanwhile", checkNaming, "error.code !== Code.Aborted ||", "true ||"],
    ["Counts without a name", checkNaming, 'if (given !== "" ||', "if (true ||"],
  ])("is noticed to be blind to %s", async (_, check, from, to) => {
    const [claims, target] = ["server-claims.ts", "server-target.ts"].map((file) => join(import.meta.dir, file)) as [
      string,
      string,
    ];
    const mutant = await importMutant<typeof targets>(claims, from, to, [target]);
    await caught(() => check(mutant));
  });
});
