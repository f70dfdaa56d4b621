import { expect, test } from "bun:test";
import { systemClock } from "../../../platform/clock/clock.ts";
import type { CountChange } from "./store.ts";
import { createSweeper } from "./sweeper.ts";

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

test("a sweep ends with its process, however much is left half done", async () => {
  const change: CountChange = {
    countId: "a",
    infoRevision: 2,
    operation: "DELETE",
    content: { displayName: "", labels: {}, minValue: undefined, maxValue: undefined },
    initialValue: 0n,
    createTimeMs: 0,
    startTimeMs: 0,
  };
  const begun = Promise.withResolvers<void>();
  const stores = Promise.withResolvers<void>();
  let taken = 0;
  const sweeper = createSweeper({
    infos: {
      takeUp: (_, limit) => {
        taken += 1;
        // Another process stands in for the rest, so that a sweep that goes on ends as well.
        return Promise.resolve(taken > 3 ? [] : Array.from({ length: limit }, () => change));
      },
    },
    requests: { removeExpired: () => Promise.resolve(0) },
    changes: {
      finish: async (changes) => {
        begun.resolve();
        await stores.promise;
        return changes.map(() => new Error("the counts store does not answer"));
      },
    },
    clock: systemClock,
    log: silent,
    ageMs: 60_000,
  });
  await sweeper.start();
  await begun.promise;
  const stopped = sweeper.stop();
  stores.resolve();
  await stopped;
  expect(taken).toBe(1);
});
