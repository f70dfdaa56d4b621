import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { createApiKeys } from "./rules.ts";
import { secretHashOf } from "./secret.ts";
import type { ApiKey } from "./store.ts";

const key: ApiKey = {
  apiKeyId: "k1",
  ownerId: "p1",
  displayName: "Web shop",
  scopes: [],
  createTimeMs: 1,
  expireTimeMs: undefined,
  useTimeMs: undefined,
  revokeTimeMs: undefined,
};

/** How often the store is asked for 4000 hashes that are nobody's, and how a key fares that was found before, or is asked for by others. */
async function lookedUp(create: typeof createApiKeys) {
  let nowMs = 1_000_000;
  let asked = 0;
  const clock = { now: () => nowMs, monotonic: () => nowMs } as Clock;
  const good = secretHashOf("good").toBase64();
  const store = {
    findBySecretHash: async (_: unknown, secretHash: Uint8Array) => {
      asked++;
      return secretHash.toBase64() === good ? key : undefined;
    },
  };
  const accounts = { find: async () => ({ isSuspended: false, isEmailVerified: true }) };
  const scopes = { find: async () => ({ roles: [], granted: [] }) };
  const keys = create({ database: {}, store, accounts, scopes, clock } as unknown as Parameters<
    typeof createApiKeys
  >[0]);
  const verify = async (secret: string, asker = "service:count-read"): Promise<string> => {
    const outcome = await keys.verify(secretHashOf(secret), asker);
    return isRefusal(outcome) ? outcome.refused : "found";
  };
  const guess = async (): Promise<number> => {
    const before = asked;
    for (let time = 0; time < 4000; time++) await verify(`${time}`);
    return asked - before;
  };
  await verify("good");
  const guesses = await guess();
  const guessed = await verify("guess");
  const known = await verify("good");
  const others = await verify("guess", "service:count-write");
  nowMs += 100;
  const reserved = await guess();
  nowMs += 60_000;
  return { guesses, guessed, known, others, reserved, perMinute: await guess() };
}

const bounded = {
  guesses: 3000,
  guessed: "tooManyFailedKeys",
  known: "found",
  others: "apiKeyInvalid",
  reserved: 1,
  perMinute: 3000,
};

test("hashes that are nobody's are looked up 3000 times a minute for a service, and those that were found always", async () => {
  expect(await lookedUp(createApiKeys)).toEqual(bounded);
});

test.each([
  ["a flood of hashes goes to the database", "!failures.charge(asker)", "false"],
  ["a key that was found is refused among guesses", "!isKnown && !failures", "!failures"],
])("mutant: %s", async (_, from, to) => {
  const mutant = await importMutant<{ createApiKeys: typeof createApiKeys }>(
    join(import.meta.dir, "rules.ts"),
    from,
    to,
  );
  expect(await lookedUp(mutant.createApiKeys)).not.toEqual(bounded);
});
