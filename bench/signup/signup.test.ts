import { expect, test } from "bun:test";
import { catalog } from "../../internal/catalog.ts";
import { UserCreatedSchema } from "../../internal/gen/muin/identity/v1/user_events_pb.ts";
import { printSignup, runSignup } from "./signup.ts";

test("bench signup waits for the copy of every service that consumes UserCreated", async () => {
  const result = await runSignup({ windowMs: 500, ratePerS: 10, report: () => {} });
  const consumers = catalog
    .filter(({ consumes }) => consumes.some(({ schema }) => schema === UserCreatedSchema))
    .map(({ name }) => name);
  expect(consumers.length).toBeGreaterThan(1);
  expect(result).toMatchObject({ signUps: 5, faults: [] });
  expect(result.rows.map(({ row, copies }) => [row, copies])).toEqual(consumers.map((name) => [name, 5]));
  expect(result.rows.every(({ latencyMs }) => latencyMs.p50 > 0)).toBe(true);
  expect(printSignup(result)).toContain("5 sign-ups at 10/s");
}, 60_000);
