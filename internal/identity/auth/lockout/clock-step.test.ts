import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import * as policy from "./policy.ts";

const hourMs = 3_600_000;
const nowMs = 1_800_000_000_000;

/** Failures and tries that a clock counted which ran three hours ahead, once it was put back. */
function checkPutBack({ chargeFailure, chargeOwnTry, lockoutPolicies }: typeof policy): void {
  const aheadMs = nowMs + 3 * hourMs;
  for (const kind of [lockoutPolicies.pair, lockoutPolicies.network, lockoutPolicies.account]) {
    let count: policy.FailureCount | undefined;
    for (let failure = 0; failure < 101; failure += 1) {
      const next = chargeFailure(count, kind, aheadMs);
      if ("retryAfterMs" in next) break;
      count = next;
    }
    expect(chargeFailure(count, kind, aheadMs)).toEqual({ retryAfterMs: 30_000 });
    expect(chargeFailure(count, kind, nowMs)).toMatchObject({ failures: 1, lockEndMs: 0 });
    // Another process's clock is a little behind: the lock holds.
    expect(chargeFailure(count, kind, aheadMs - 1000)).toHaveProperty("retryAfterMs");
  }
  const spent = { failures: 5, windowEndMs: aheadMs + hourMs, lockEndMs: 0 };
  expect(chargeOwnTry(spent, aheadMs)).toBeUndefined();
  expect(chargeOwnTry(spent, aheadMs - 1000)).toBeUndefined();
  expect(chargeOwnTry(spent, nowMs)).toMatchObject({ failures: 1 });
}

test("a lock of a clock that ran ahead and was put back holds nobody", () => checkPutBack(policy));

test.each([
  [
    "locks hold until the clock is there again",
    "const latestMs = nowMs + clockMarginMs;",
    "const latestMs = Infinity;",
  ],
  [
    "tries hold until the clock is there again",
    " || count.windowEndMs > nowMs + ownTries.windowMs + clockMarginMs",
    "",
  ],
  ["clocks that differ a little free everybody", "const clockMarginMs = minuteMs;", "const clockMarginMs = 0;"],
])("mutant: %s", async (_, from, to) => {
  const mutant = await importMutant<typeof policy>(join(import.meta.dir, "policy.ts"), from, to);
  await caught(() => checkPutBack(mutant));
});
