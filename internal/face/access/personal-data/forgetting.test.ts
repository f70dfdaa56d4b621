import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import { limits } from "../attempt/store.contract.ts";
import { createMemoryAttempts } from "../attempt/store-memory.ts";
import type { Attempt } from "../attempt/store.ts";
import { createRedisCopies } from "../copies/store-redis.ts";
import { createRedisRecords } from "../snapshot/records-redis.ts";
import * as real from "./forgetting.ts";

setDefaultTimeout(30_000);

/** A process remembers two people; another erases one of them, and suspends the other. */
async function check({ forgettingErased }: typeof real): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const redis = openRedis({ url: (await sharedRedis()).url, name: "test" });
  await redis.start();
  stack.defer(() => redis.stop());
  const own = createMemoryAttempts(systemClock, limits);
  const attemptBy = async (memberId: string): Promise<Attempt> => {
    const attempt = {
      deviceId: systemRandom.uuid(),
      nonce: systemRandom.uuid(),
      fingerprint: Buffer.alloc(32, 1),
      embedding: undefined,
      isGuess: true,
      entryId: systemRandom.uuid(),
    };
    await own.begin(attempt);
    await own.settle(attempt, {
      entry: Buffer.from("entry"),
      isDenial: false,
      branchId: "b",
      memberId,
      moves: "in",
      unlessFull: undefined,
      pass: undefined,
    });
    return attempt;
  };
  const [erased, suspended] = [systemRandom.uuid(), systemRandom.uuid()];
  const [ofErased, ofSuspended] = [await attemptBy(erased), await attemptBy(suspended)];
  const reader = forgettingErased(createRedisRecords(redis, { following: (followed) => followed }), own).follow();
  stack.defer(() => reader.stop());
  const position = await eventually(() => reader.end());
  const copies = createRedisCopies(redis);
  await copies.erase(erased);
  await copies.changeStatus(suspended, "SUSPENDED", { epoch: 0, version: 1n });
  expect(await reader.read(position)).toMatchObject({ kind: "read" });
  expect(await own.begin(ofSuspended)).toMatchObject({ kind: "repeated" });
  expect(await own.begin(ofErased)).toMatchObject({ kind: "first" });
}

test("who was erased by another process is forgotten, and nobody else", () => check(real));

test.each([
  ["nobody", 'status === "DELETED"', 'status === "ACTIVE"'],
  ["everybody", 'readMember(record).status === "DELETED"', "readMember(record) !== undefined"],
])("mutant: it forgets %s", async (_, from, to) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "forgetting.ts"), from, to);
  await caught(() => check(mutant));
});
