import { expect, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { BranchSchema } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import * as real from "./rules.ts";

/** An owner watches, and sells the branch after ten seconds. Time passes with each wait for news. */
async function check({ createEntryRules }: typeof real): Promise<void> {
  let nowMs = 0;
  const rules = createEntryRules({
    database: { sql: undefined as never },
    entries: {
      find: () => Promise.resolve(undefined),
      list: () => Promise.resolve([]),
    },
    copies: {
      member: () => Promise.resolve(undefined),
      branch: (branchId) =>
        Promise.resolve({
          branch: create(BranchSchema, { branchId, ownerId: nowMs < 10_000 ? "ann" : "ben" }),
          staff: [],
        }),
    },
    doubt: { look: () => Promise.resolve({ judge: () => Promise.resolve("copies") }) },
    tail: {
      follow: () => ({
        bounds: () => Promise.resolve({ last: 0n, removed: 0n }),
        look: (_, after) => Promise.resolve({ rows: [], reached: after, hasMore: false }),
        next: () => ({
          wait: (ms) => {
            nowMs += ms;
            return nowMs > 600_000 ? Promise.reject(new Error("never asked")) : Promise.resolve();
          },
        }),
        [Symbol.dispose]: () => undefined,
      }),
    },
    clock: { monotonic: () => nowMs },
  });
  const ann = {
    kind: "person",
    id: "ann",
    principal: "person:ann",
    scopes: new Set<string>(),
    sessionId: "s",
  } as const;
  const query = {
    branchId: "b",
    memberId: undefined,
    deviceId: undefined,
    decision: undefined,
    reason: undefined,
    kind: undefined,
    fromMs: undefined,
    untilMs: undefined,
  };
  let error: unknown;
  try {
    for await (const _ of rules.watch(ann, query, undefined, new AbortController().signal));
  } catch (thrown) {
    error = thrown;
  }
  expect(error instanceof MuinError ? error.reason : error).toBe("ENTRY_FORBIDDEN");
  expect(nowMs).toBeLessThanOrEqual(60_000);
}

test("who may not watch any more is cut off within a minute", () => check(real));

test("mutant: rights are asked once", async () => {
  const path = join(import.meta.dir, "rules.ts");
  const mutant = await importMutant<typeof real>(path, "askedMs >= rightsMs", "askedMs >= Infinity");
  await caught(() => check(mutant));
});
