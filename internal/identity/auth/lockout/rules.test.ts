import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { auth } from "../definition.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import { chargeFailure, type FailureCount } from "./policy.ts";
import { createLockout } from "./rules.ts";
import type { LockoutStore } from "./store.ts";
import { postgresLockoutStore } from "./store-postgres.ts";
import { createVault } from "../secret/vault.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const bad = "Unauthenticated CREDENTIALS_INVALID";
const locked = "ResourceExhausted SIGN_IN_LOCKED";
const hourMs = 3_600_000;

describe("a count of failures", () => {
  const policy = { freeMax: 3, windowMs: hourMs, sliding: true };
  const fail = (count: FailureCount | undefined, nowMs: number): FailureCount => {
    const next = chargeFailure(count, policy, nowMs);
    if ("retryAfterMs" in next) throw new Error(`locked for ${next.retryAfterMs} ms`);
    return next;
  };

  test("locks after the free ones, each time for twice as long, at most 15 minutes", () => {
    let count: FailureCount | undefined;
    let nowMs = 0;
    const lockMs: number[] = [];
    for (let failure = 0; failure < 10; failure++) {
      count = fail(count, nowMs);
      lockMs.push(count.lockEndMs === 0 ? 0 : count.lockEndMs - nowMs);
      nowMs = Math.max(nowMs, count.lockEndMs);
    }
    expect(lockMs).toEqual([0, 0, 30_000, 60_000, 120_000, 240_000, 480_000, 900_000, 900_000, 900_000]);
  });

  test("refuses while locked and is not changed by it", () => {
    const count = { failures: 3, windowEndMs: hourMs, lockEndMs: 30_000 };
    expect(chargeFailure(count, policy, 29_000)).toEqual({ retryAfterMs: 1000 });
  });

  test("is forgotten when its window has passed", () => {
    expect(fail({ failures: 9, windowEndMs: hourMs, lockEndMs: 0 }, hourMs)).toEqual({
      failures: 1,
      windowEndMs: 2 * hourMs,
      lockEndMs: 0,
    });
  });
});

const fill = async (auth: AuthFixture, email: string, address: string, times: number): Promise<string[]> => {
  const client = auth.as(AuthService, { address });
  const outcomes: string[] = [];
  for (let time = 0; time < times; time++) {
    outcomes.push(await outcomeOf(client.signIn({ email, password: `guess ${time}` })));
  }
  return outcomes;
};

/** Of 60 attempts at once, those that may be made. */
const admitted = async (store: LockoutStore): Promise<number> => {
  await using auth = await startAuth();
  const { database, clock, config } = auth;
  const vault = createVault(config.keyEncryptionSecret, systemRandom);
  const lockout = createLockout({ database, store, vault, clock });
  const attempt = { email: ada.email, network: "192.0.2.1" };
  const outcomes = await Promise.all(Array.from({ length: 60 }, () => lockout.charge(attempt)));
  return outcomes.filter((outcome) => !isRefusal(outcome)).length;
};

/** Rows that attempts on twenty invented addresses leave, from a network that is locked out. */
const rowsOfRefused = async (create: typeof createLockout): Promise<number> => {
  await using auth = await startAuth();
  const { database, clock, config } = auth;
  const vault = createVault(config.keyEncryptionSecret, systemRandom);
  const lockout = create({ database, store: postgresLockoutStore, vault, clock });
  const network = "192.0.2.1";
  for (let time = 0; time < 100; time++) await lockout.charge({ email: "", network });
  const count = async (): Promise<number> => {
    const [row] = await database.sql<[{ count: number }]>`SELECT count(*)::int AS count FROM sign_in_failures`;
    return row.count;
  };
  const before = await count();
  for (let account = 0; account < 20; account++) {
    const outcome = await lockout.charge({ email: `a${account}@example.org`, network });
    expect(isRefusal(outcome) && outcome.refused).toBe("signInLocked");
  }
  return (await count()) - before;
};

/** What Ada's tries from home are answered while a neighbour there keeps the network locked: in two hours, and after 31 days. */
async function triesAmongNeighbours(definition: ServiceInfo) {
  await using fixture = await startAuth({ definition });
  const { database, clock, config } = fixture;
  const vault = createVault(config.keyEncryptionSecret, systemRandom);
  const lockout = createLockout({ database, store: postgresLockoutStore, vault, clock });
  const network = "198.51.100.9";
  const home = fixture.as(AuthService, { address: network });
  await fixture.signUp(ada, { address: network });
  const lockNetwork = async (): Promise<void> => {
    for (let time = 0; time < 100; time++) await lockout.charge({ email: "", network });
    expect(await outcomeOf(home.signIn({ ...ada, email: "bob@example.org" }))).toBe(locked);
  };
  await lockNetwork();
  const right = await outcomeOf(home.signIn(ada)); // Forgets her failures.
  const first = await fill(fixture, ada.email, network, 7);
  const withoutTries = await outcomeOf(home.signIn(ada));
  clock.advance(hourMs);
  await lockNetwork();
  const next = await fill(fixture, ada.email, network, 4);
  const rightAgain = await outcomeOf(home.signIn(ada));
  clock.advance(29 * 24 * hourMs);
  await lockNetwork();
  const within = await fill(fixture, ada.email, network, 1);
  clock.advance(2 * 24 * hourMs);
  await lockNetwork();
  const later = await outcomeOf(home.signIn(ada));
  return { right, first, withoutTries, next, rightAgain, within, later };
}

const ownTriesSeen = {
  right: "done",
  first: [bad, bad, bad, bad, bad, locked, locked],
  withoutTries: locked,
  next: [bad, bad, bad, bad],
  rightAgain: "done",
  within: [bad],
  later: locked,
};

describe("lockout", () => {
  test("an account from one network, in whatever spelling, and an account that does not exist alike", async () => {
    await using auth = await startAuth();
    await auth.signUp(ada, { address: "198.51.100.9" });
    const spellings = [
      "ada@example.org",
      "ADA@example.org",
      "ａｄａ@example.org",
      "a\u200dda@EXAMPLE.org",
      " ada@example.org",
    ];
    for (const [name, at] of [
      ["ada", "2001:db8::"],
      ["nobody", "2001:db8:0:1::"],
    ] as const) {
      const outcomes: string[] = [];
      for (let time = 0; time < 12; time++) {
        // Another spelling and another address of the same network each time.
        const email =
          spellings[time % spellings.length]?.replace(/a\u200d?da|ａｄａ|ADA/, (ada) =>
            name === "ada" ? ada : `${ada}x`,
          ) ?? "";
        const client = auth.as(AuthService, { address: `${at}${(time + 1).toString(16)}` });
        outcomes.push(await outcomeOf(client.signIn({ email, password: "wrong password" })));
      }
      const free = 10;
      expect(outcomes).toEqual([...Array<string>(free).fill(bad), ...Array<string>(12 - free).fill(locked)]);
    }
    // The right password does not help while the lock holds, and does when it has passed.
    const client = auth.as(AuthService, { address: "2001:db8::1" });
    expect(await outcomeOf(client.signIn(ada))).toBe(locked);
    auth.clock.advance(30_000);
    expect(await outcomeOf(client.signIn(ada))).toBe("done");
    // Success forgets the failures from this network.
    expect(await fill(auth, ada.email, "2001:db8::1", 2)).toEqual([bad, bad]);
    expect(await outcomeOf(client.signIn(ada))).toBe("done");
  });

  test("many attempts at once are no more than many in a row", async () => {
    await using auth = await startAuth({
      config: { argon2Waiting: 100, argon2WaitingPerNetwork: 100, argon2Concurrent: 4 },
    });
    const client = auth.as(AuthService);
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, (_, time) =>
        outcomeOf(client.signIn({ email: ada.email, password: `guess ${time}` })),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === bad)).toHaveLength(10);
    expect(outcomes.filter((outcome) => outcome === locked)).toHaveLength(50);
  });

  test("mutant: without the row's lock many at once are more", async () => {
    const mutant = await importMutant<{ postgresLockoutStore: LockoutStore }>(
      join(import.meta.dir, "store-postgres.ts"),
      "ON CONFLICT (subject_hash) DO UPDATE SET failures = f.failures",
      "ON CONFLICT (subject_hash) DO NOTHING",
    );
    expect(await admitted(postgresLockoutStore)).toBe(10);
    expect(await admitted(mutant.postgresLockoutStore)).toBeGreaterThan(10);
  });

  test("who is locked out leaves no rows by inventing addresses", async () => {
    expect(await rowsOfRefused(createLockout)).toBe(0);
  });

  test("mutant: refusals that commit leave rows", async () => {
    const mutant = await importMutant<{ createLockout: typeof createLockout }>(
      join(import.meta.dir, "rules.ts"),
      "throw new LockedError(count.retryAfterMs);",
      'return refuse("signInLocked", { retryAfterMs: count.retryAfterMs });',
    );
    expect(await rowsOfRefused(mutant.createLockout)).toBeGreaterThan(0);
  });

  test("a network that tries many accounts, whose sign-ups are not counted with that", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    await auth.signUp(ada, { address: "198.51.100.9" });
    const free = 100;
    for (let account = 0; account < free; account++) {
      expect(await outcomeOf(client.signIn({ email: `a${account}@example.org`, password: "123456" }))).toBe(bad);
    }
    expect(await outcomeOf(client.signIn({ email: "one.more@example.org", password: "123456" }))).toBe(locked);
    expect(await outcomeOf(client.signUp({ ...ada, email: "new@example.org" }))).toBe("done");
    // Others are not held back.
    expect(await outcomeOf(auth.as(AuthService, { address: "192.0.2.2" }).signIn(ada))).toBe("done");
  });

  test("a stranger cannot lock a person out of the networks that are theirs", async () => {
    await using auth = await startAuth();
    const home = auth.as(AuthService, { address: "198.51.100.9" });
    await auth.signUp(ada, { address: "198.51.100.9" });
    // One stranger is held at their own network, long before the account is held everywhere.
    const outcomes = await fill(auth, ada.email, "203.0.113.1", 40);
    expect(outcomes.filter((outcome) => outcome === bad)).toHaveLength(10);
    expect(await outcomeOf(auth.as(AuthService, { address: "192.0.2.77" }).signIn(ada))).toBe("done");
    // Many strangers reach the lock of the account: it binds on networks that she has not used, and only there.
    for (let stranger = 2; stranger <= 7; stranger++) await fill(auth, ada.email, `203.0.113.${stranger}`, 10);
    expect(await outcomeOf(auth.as(AuthService, { address: "192.0.2.78" }).signIn(ada))).toBe(locked);
    expect(await outcomeOf(home.signIn(ada))).toBe("done");
    // And it passes, however long they go on.
    auth.clock.advance(hourMs);
    await fill(auth, ada.email, "203.0.113.200", 10);
    expect(await outcomeOf(auth.as(AuthService, { address: "192.0.2.78" }).signIn(ada))).toBe("done");
  });

  test("neighbours cannot spend a person's own tries, 5 an hour, where they signed in within 30 days", async () => {
    expect(await triesAmongNeighbours(auth)).toEqual(ownTriesSeen);
  });

  test.each([
    ["without tries of her own she is locked out", "lockout/rules.ts", "return own ?? (", "return ("],
    ["a longer memory", "lockout/policy.ts", "familiarMs: number = 30 *", "familiarMs: number = 90 *"],
    ["tries without end", "lockout/policy.ts", "count.failures < ownTries.max ?", "count.failures >= 0 ?"],
  ])("mutant: %s", async (_, file, from, to) => {
    expect(await triesAmongNeighbours(await mutantOf(file, from, to))).not.toEqual(ownTriesSeen);
  });

  test("neither an address nor a network stands in the table", async () => {
    await using auth = await startAuth();
    await fill(auth, "nobody@example.org", "203.0.113.1", 1);
    const [row] = await auth.database.sql<{ text: string }[]>`
      SELECT string_agg(f::text, ' ') || (SELECT string_agg(l::text, ' ') FROM audit_log l WHERE action = 'SIGN_IN') AS text
      FROM sign_in_failures f`;
    expect(row?.text).toContain("email:");
    expect(row?.text).not.toContain("nobody");
    expect(row?.text).not.toContain(Buffer.from("nobody").toString("hex"));
  });
});
