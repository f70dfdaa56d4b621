import { expect, test } from "bun:test";
import { faultsOf, printAttack, runAttack } from "./attack.ts";
import { rows } from "./rows.ts";

/** What a round in the tests takes at the most of an attack that would go on. */
const lastingMs = 15_000;

test("every call of known callers is answered while hostile peers play their attacks", async () => {
  const result = await runAttack({
    wanted: () => true,
    whole: false,
    lastingMs,
    quietMs: 500,
    together: true,
    report: () => {},
  });
  expect(result.rows.filter(({ faults }) => faults.length > 0).map(({ row, faults }) => [row, faults])).toEqual([]);
  const played = result.rows.filter(({ outcome }) => outcome !== undefined);
  const ids = rows.map(({ id }) => id);
  expect(played.map(({ row }) => row).toSorted()).toEqual(ids.toSorted());
  for (const { outcome } of played) expect(outcome?.sent).toBeGreaterThan(0);
  for (const { known } of played) {
    expect(Object.keys(known)).toContain("increment over gRPC");
    for (const { answered } of Object.values(known)) expect(answered).toBeGreaterThan(0);
  }
  expect(printAttack(result)).toContain("all answered");
}, 180_000);

test("a known caller who was refused, or never answered, is a fault", () => {
  const latencyMs = { p50: 1, p99: 1, max: 1 };
  expect(faultsOf({ list: { answered: 5, refused: {}, latencyMs } })).toEqual([]);
  expect(faultsOf({ list: { answered: 5, refused: { "[resource_exhausted] overloaded": 2 }, latencyMs } })).toEqual([
    "known callers' list: 2 x [resource_exhausted] overloaded",
  ]);
  expect(faultsOf({ list: { answered: 0, refused: {}, latencyMs } })).toEqual([
    "known callers' list: none was answered",
  ]);
});
