import { AsyncLocalStorage } from "node:async_hooks";
import { expect, test } from "bun:test";
import { createMetrics } from "../../telemetry/create-metrics.ts";
import { createBulkhead } from "./create-bulkhead.ts";

test("work that waited for its turn runs in the context of its own caller", async () => {
  const call = new AsyncLocalStorage<string>();
  const turns = createBulkhead({ name: "a store", concurrentMax: 1, queueMax: 2, metrics: createMetrics() });
  const whose = (): Promise<string | undefined> => Promise.resolve().then(() => call.getStore());
  const asked = ["one", "two", "three"].map((caller) => call.run(caller, () => turns.run(whose)));
  expect(await Promise.all(asked)).toEqual(["one", "two", "three"]);
});
