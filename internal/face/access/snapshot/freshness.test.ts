import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import * as whole from "./freshness.ts";

function following(create: typeof whole.createFreshness = whole.createFreshness) {
  const now = { ms: 1000 };
  const applied = { places: undefined as whole.Places | undefined };
  const freshness = create({ clock: { monotonic: () => now.ms }, appliedTo: () => applied.places });
  const apply = (faces: string, records: string): void => {
    applied.places = { faces, records };
    freshness.applied();
  };
  return { now, freshness, apply };
}

/** What is known is as old as the last renewal of which all before has been applied, of both streams. */
function checkAge(create?: typeof whole.createFreshness): void {
  const { now, freshness, apply } = following(create);
  expect(freshness.ageMs()).toBe(Infinity);
  freshness.renewed({ faces: "5-0", records: "7-0" }, 990);
  expect(freshness.ageMs()).toBe(Infinity);
  apply("4-9", "7-0");
  expect(freshness.ageMs()).toBe(Infinity);
  apply("5-0", "6-0");
  expect(freshness.ageMs()).toBe(Infinity);
  apply("5-0", "7-0");
  expect(freshness.ageMs()).toBe(10);
  // It was not renewed for a while, and much has changed: what it knows is no younger for it.
  now.ms = 60_000;
  freshness.renewed({ faces: "900-0", records: "7-0" }, 59_990);
  expect(freshness.ageMs()).toBe(59_010);
  apply("900-0", "7-0");
  expect(freshness.ageMs()).toBe(10);
  freshness.lost();
  expect(freshness.ageMs()).toBe(Infinity);
}

/** Whoever is always a little behind is as young as what it has applied. */
function checkBehind(create?: typeof whole.createFreshness): void {
  const { now, freshness, apply } = following(create);
  for (let turn = 1; turn <= 100; turn += 1) {
    now.ms = turn * 100;
    freshness.renewed({ faces: `${turn}-0`, records: "0-0" }, now.ms);
    apply(`${turn - 1}-0`, "0-0");
  }
  expect(freshness.ageMs()).toBeLessThanOrEqual(200);
}

test("what is known is as old as the last renewal whose changes have been applied", () => checkAge());

test("whoever is always a little behind does not grow old", () => checkBehind());

test("whoever waits to have caught up does so for a renewal that was asked for later", async () => {
  const { now, freshness, apply } = following();
  apply("1-0", "1-0");
  let done = false;
  const waiting = freshness.caughtUp(new AbortController().signal).then(() => (done = true));
  freshness.renewed({ faces: "1-0", records: "1-0" }, 999);
  await Bun.sleep(0);
  expect(done).toBeFalse();
  now.ms = 1001;
  freshness.renewed({ faces: "2-0", records: "1-0" }, 1000);
  await Bun.sleep(0);
  expect(done).toBeFalse();
  apply("2-0", "1-0");
  await waiting;
  const gone = new AbortController();
  const never = freshness.caughtUp(gone.signal);
  gone.abort(new Error("gone"));
  expect(await never.catch(String)).toContain("gone");
});

test.each([
  ["a renewal alone makes young", "if (!isBehind(renewal)) freshAtMs", "freshAtMs", checkAge],
  ["one stream is enough", "|| !isAtLeast(places.records, ends.records)", "", checkAge],
  [
    "only the youngest renewal counts",
    "[...behind.slice(0, 1), { ends, askedAtMs }]",
    "[{ ends, askedAtMs }]",
    checkBehind,
  ],
] as const)("mutant: %s", async (_, from, to, check) => {
  const broken = await importMutant<typeof whole>(join(import.meta.dir, "freshness.ts"), from, to);
  await caught(() => check(broken.createFreshness));
});
