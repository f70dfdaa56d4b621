import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openRedis, type OpenRedis } from "../../../platform/redis/open-redis.ts";
import { describeContract } from "../../../platform/testing/contract.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import { attemptStoreContract, type CreateStore } from "./store.contract.ts";
import * as real from "./store-redis.ts";

let redis: OpenRedis;
beforeAll(async () => {
  redis = openRedis({ url: (await sharedRedis()).url, name: "test" });
  await redis.start();
});
afterAll(() => redis.stop());

const withModule =
  ({ createRedisAttempts }: typeof real): CreateStore =>
  (limits) =>
    createRedisAttempts(redis, limits);

describeContract("attempts in Redis", { tests: [attemptStoreContract], skip: [] }, () => () => withModule(real));

describe("a mutant is caught", () => {
  const path = join(import.meta.dir, "store-redis.ts");
  test.each([
    [
      "decides twice",
      "if begun <= now and now - begun <",
      "if false and now - begun <",
      "decides an attempt once, and answers its repeats",
    ],
    [
      "does not hold the first decision",
      "if known and string.sub(known, 1, 1) == 'S' then",
      "if false then",
      "decides an attempt once, and answers its repeats",
    ],
    [
      "forgets what was asked",
      "~= fingerprint then return {'R'} end",
      "== 0 then return {'R'} end",
      "refuses a nonce with another request, by device",
    ],
    [
      "takes an embedding again",
      "if other then return",
      "if false then return",
      "refuses an embedding under another nonce",
    ],
    [
      "lets a burst overtake the lock-out",
      "if denied + pending >= denials_max",
      "if denied >= denials_max",
      "lets no burst have more denials than lock the device out",
    ],
    [
      "never locks out",
      "if denied >= denials_max then\n    redis",
      "if false then\n    redis",
      "lets no burst have more denials than lock the device out",
    ],
    [
      "counts nobody inside",
      "if inside >= capacity then",
      "if false then",
      "lets in no more people than there is room for, however many come at once",
    ],
    [
      "counts who comes again twice",
      "inside = inside - 1",
      "inside = inside",
      "counts who went out no more, and who comes again once",
    ],
    [
      "takes a pass again",
      "if pass_kept > 0 and redis.call('EXISTS', KEYS[7]) == 1 then",
      "if false then",
      "lets somebody in by a pass once, however many come with it at once",
    ],
    [
      "leaves no trace of a person",
      "if member ~= '' then\n  redis.call('SADD'",
      "if false then\n  redis.call('SADD'",
      "forgets where a person is, and what was answered about them",
    ],
  ])("that %s", async (_, from, to, title) => {
    const mutant = await importMutant<typeof real>(path, from, to);
    await caught(() => attemptStoreContract[title]!(withModule(mutant)));
  });
});

test("what is kept of a device goes by itself", async () => {
  const store = withModule(real)({
    attemptsPerMinuteMax: 10,
    embeddingsPerDeviceMax: 10,
    denialsMax: 10,
    denialsWindowMs: 1000,
    lockoutMs: 1000,
    stayMs: 60_000,
  });
  const attempt = {
    deviceId: "goes",
    nonce: "n".repeat(16),
    fingerprint: Buffer.alloc(32),
    embedding: Buffer.alloc(16),
    isGuess: true,
    entryId: crypto.randomUUID(),
  };
  await store.begin(attempt);
  const keys = await redis.client.keys("{face}:d:*goes*");
  const lives = await Promise.all(
    keys.map(async (key) => {
      if (!key.includes(":attempt:")) return redis.client.pttl(key);
      const [field = ""] = await redis.client.hkeys(key);
      const [life] = (await redis.client.call("HPTTL", key, "FIELDS", "1", field)) as number[];
      return life ?? -1;
    }),
  );
  expect(keys.length).toBe(4);
  for (const life of lives) expect(life).toBeGreaterThan(0);
});
