import { expect, test } from "bun:test";
import { createClient } from "@connectrpc/connect";
import { CountImportService } from "../../../gen/muin/count/v1/count_import_service_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { planMethods } from "../../../platform/rpc/call/plan.ts";
import { createLocalLane } from "../../../platform/rpc/local/lane.ts";
import { serve } from "../../../platform/service/parts.ts";
import { silent } from "../count-fixture.ts";
import { createImportHandlers } from "./handlers.ts";

const values = Array.from({ length: 5 }, (_, place) => [`value ${place}`, `count-${place}`] as const);

/** Of imports that all have the same five values. */
const client = createClient(
  CountImportService,
  createLocalLane(
    planMethods([
      serve(
        CountImportService,
        createImportHandlers({
          imports: {
            start: () => Promise.reject(new Error("not used")),
            apply: () => Promise.reject(new Error("not used")),
            read: (_, importId, from, count) =>
              Promise.resolve({
                progress: { importId, offset: 0, sequence: 0, lines: 0 },
                assignments: values.slice(from, from + count),
              }),
          },
          clock: systemClock,
        }),
      ),
    ]),
    { observer: { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) }, log: silent },
  )({ kind: "api_key", id: "t", principal: "api_key:t", scopes: new Set(["counts.read", "counts.write"]) }),
);

test("the pages of an import hold each value once", async () => {
  const sizes: number[] = [];
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = await client.getImport({ importId: "one", pageSize: 2, pageToken });
    sizes.push(page.assignments.length);
    seen.push(...page.assignments.map(({ value }) => value));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(sizes).toEqual([2, 2, 1]);
  expect(seen).toEqual(values.map(([value]) => value));
});

test("a page token belongs to its import", async () => {
  const { nextPageToken } = await client.getImport({ importId: "one", pageSize: 2 });
  const forged = Buffer.concat([Buffer.from(nextPageToken, "base64url").subarray(0, 12), Buffer.from("two")]);
  for (const [importId, pageToken] of [
    ["two", nextPageToken],
    ["one", "2"],
    ["one", forged.toString("base64url")],
  ] as const) {
    expect(client.getImport({ importId, pageToken })).rejects.toThrow("page_token belongs to another query");
  }
});

test("a batch names each Count once", async () => {
  const writes = [
    { countId: "a", delta: 1n },
    { countId: "a", delta: 2n },
  ];
  const batch = { importId: "one", sequence: 1n, offsetEnd: 1n, lines: 1n, writes };
  expect(client.importBatch(batch)).rejects.toThrow("writes: must name each Count at most once");
});
