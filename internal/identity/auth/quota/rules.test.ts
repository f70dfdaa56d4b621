import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemRandom } from "../../../platform/clock/random.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { mutantOf, outcomeOf, startAuth, type AuthFixture } from "../auth-fixture.ts";
import type { AuthConfig } from "../config.ts";
import { createVault } from "../secret/vault.ts";
import { createNetworkQuotas, type NetworkQuotas, type QuotaKind } from "./rules.ts";
import { postgresQuotaStore } from "./store-postgres.ts";

const hourMs = 3_600_000;
const here = "192.0.2.1";
const limits = { signUpsPerNetworkMax: 2, mailsPerNetworkMax: 3, mailsMax: 5 } as const;

const quotasOf = ({ database, clock, config }: AuthFixture, create = createNetworkQuotas): NetworkQuotas =>
  create({
    database,
    store: postgresQuotaStore,
    vault: createVault(config.keyEncryptionSecret, systemRandom),
    clock,
    config: { ...config, ...limits },
  });

/** Of `times` uses in a row, how many were taken. */
const taken = async (quotas: NetworkQuotas, kind: QuotaKind, network: string, times: number): Promise<number> => {
  let count = 0;
  for (let time = 0; time < times; time++) {
    if ((await quotas.take(kind, network)) === undefined) count++;
  }
  return count;
};

/** Of 20 uses by one network at once, and then of 10 by another, how many were taken. */
const takenAtOnce = async (create: typeof createNetworkQuotas): Promise<readonly number[]> => {
  await using auth = await startAuth();
  const quotas = quotasOf(auth, create);
  const many = await Promise.all(Array.from({ length: 20 }, () => quotas.take("VERIFY_EMAIL", here)));
  const first = many.filter((outcome) => !isRefusal(outcome)).length;
  return [first, await taken(quotas, "VERIFY_EMAIL", "192.0.2.2", 10)];
};

const mutantQuotas = (from: string, to: string): Promise<{ createNetworkQuotas: typeof createNetworkQuotas }> =>
  importMutant(join(import.meta.dir, "rules.ts"), from, to);

describe("what a network asks for in an hour", () => {
  test("is bounded for each kind apart, and forgotten an hour after the first", async () => {
    await using auth = await startAuth();
    const quotas = quotasOf(auth);
    expect(await taken(quotas, "SIGN_UP", here, 4)).toBe(2);
    expect(await taken(quotas, "RESET_PASSWORD", here, 9)).toBe(3);
    expect(await taken(quotas, "VERIFY_EMAIL", here, 9)).toBe(3);
    auth.clock.advance(hourMs);
    expect(await taken(quotas, "SIGN_UP", here, 4)).toBe(2);
  });

  test("says when it is forgotten", async () => {
    await using auth = await startAuth();
    const quotas = quotasOf(auth);
    expect(await taken(quotas, "SIGN_UP", here, 2)).toBe(2);
    auth.clock.advance(hourMs - 60_000);
    const refused = await quotas.take("SIGN_UP", here);
    expect(refused?.refused).toBe("quotaExhausted");
    expect(refused?.error.retryAfterMs).toBeWithin(1, 60_001);
  });

  test("is bounded for all networks together, for mails, and for many at once as for many in a row", async () => {
    expect(await takenAtOnce(createNetworkQuotas)).toEqual([3, 2]);
  });

  test("mutant: looking alone does not hold those that come at once", async () => {
    const mutant = await mutantQuotas("if (uses > max) throw", "if (uses > max && max < 0) throw");
    const [first = 0] = await takenAtOnce(mutant.createNetworkQuotas);
    expect(first).toBeGreaterThan(3);
  });

  test("mutant: without a bound in all, many networks send any number of mails", async () => {
    const mutant = await mutantQuotas('if (kind !== "SIGN_UP") subjects', 'if (kind === "SIGN_UP") subjects');
    expect(await takenAtOnce(mutant.createNetworkQuotas)).toEqual([3, 3]);
  });
});

const config: Partial<AuthConfig> = { mailsPerNetworkMax: 30, mailsMax: 2000 };
const ada = { email: "ada@example.org", password: "correct horse battery" };
const exhausted = "ResourceExhausted QUOTA_EXHAUSTED";

/** What 35 requests for a reset from one network, and then a sign-in from there and a request from elsewhere, are answered. */
const resets = async (auth: AuthFixture): Promise<readonly (readonly [string, number] | string)[]> => {
  await auth.signUp(ada, { address: "198.51.100.9" });
  const stranger = auth.as(CredentialService);
  const outcomes: Record<string, number> = {};
  for (let time = 0; time < 35; time++) {
    const outcome = await outcomeOf(stranger.requestPasswordReset({ email: `a${time}@example.org` }));
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  const elsewhere = auth.as(CredentialService, { address: "203.0.113.7" });
  return [
    ...Object.entries(outcomes),
    await outcomeOf(auth.as(AuthService).signIn(ada)),
    await outcomeOf(elsewhere.requestPasswordReset({ email: ada.email })),
  ];
};

/** Failed sign-ins that are counted after ten requests for a reset. */
const failuresAfterResets = async (auth: AuthFixture): Promise<number> => {
  const stranger = auth.as(CredentialService);
  for (let time = 0; time < 10; time++) await stranger.requestPasswordReset({ email: ada.email });
  const [row] = await auth.database.sql<[{ count: number }]>`
    SELECT coalesce(sum(failures), 0)::int AS count FROM sign_in_failures`;
  return row.count;
};

describe("requests for a reset", () => {
  test("are counted apart from failed sign-ins, per network", async () => {
    await using auth = await startAuth({ config });
    expect(await resets(auth)).toEqual([["done", 30], [exhausted, 5], "done", "done"]);
    await using other = await startAuth({ config });
    expect(await failuresAfterResets(other)).toBe(0);
  });

  test("mutant: uncounted, one network asks for any number of mails", async () => {
    const definition = await mutantOf(
      "account/recovery.ts",
      'const exhausted = await quotas.take("RESET_PASSWORD", networkOf(client.address));',
      "const exhausted = await Promise.resolve(undefined);",
    );
    await using auth = await startAuth({ config, definition });
    expect(await resets(auth)).toEqual([["done", 35], "done", "done"]);
  });
});
