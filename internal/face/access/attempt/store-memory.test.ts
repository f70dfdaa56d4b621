import { describe, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import { describeContract } from "../../../platform/testing/contract.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { attemptStoreContract, type CreateStore } from "./store.contract.ts";
import * as real from "./store-memory.ts";

const withModule =
  ({ createMemoryAttempts }: typeof real): CreateStore =>
  (limits) =>
    createMemoryAttempts(systemClock, limits);

describeContract("attempts in memory", { tests: [attemptStoreContract], skip: [] }, () => () => withModule(real));

describe("a mutant is caught", () => {
  const path = join(import.meta.dir, "store-memory.ts");
  test.each([
    [
      "decides twice",
      "if (nowMs - known.atMs < pendingMsMax)",
      "if (false)",
      "decides an attempt once, and answers its repeats",
    ],
    [
      "takes an embedding again",
      "if (other !== undefined) return",
      "if (false) return",
      "refuses an embedding under another nonce",
    ],
    [
      "lets a burst overtake the lock-out",
      "device.denials.length + device.pending.size >=",
      "device.denials.length >=",
      "keeps room for as many denials as there may be",
    ],
    [
      "takes a pass again",
      "usePass(passes, pass, nowMs);",
      "void usePass;",
      "lets somebody in by a pass once, however many come with it at once",
    ],
    [
      "counts nobody inside",
      "return others >= unlessFull.capacityMax",
      "return false",
      "lets in no more people than there is room for, however many come at once",
    ],
  ])("that %s", async (_, from, to, title) => {
    const mutant = await importMutant<typeof real>(path, from, to);
    await caught(() => attemptStoreContract[title]!(withModule(mutant)));
  });
});
