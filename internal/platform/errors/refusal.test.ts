import { expect, test } from "bun:test";
import { defineErrors } from "./define-errors.ts";
import { isRefusal, orThrow, refuserOf, type Refusal } from "./refusal.ts";

const refuse = refuserOf(
  defineErrors({
    doorLocked: { reason: "DOOR_LOCKED", code: "failed_precondition", text: "the door {door_id} is locked" },
    doorBusy: { reason: "DOOR_BUSY", code: "unavailable", text: "the door is busy" },
  }),
);

function open(doorId: string): { readonly opened: string } | Refusal<"doorLocked" | "doorBusy"> {
  if (doorId === "locked") return refuse("doorLocked", { door_id: doorId });
  return doorId === "busy" ? refuse("doorBusy", { retryAfterMs: 9 }) : { opened: doorId };
}

test("a rule's outcome passes, and its refusal is thrown with the row's error", () => {
  expect(orThrow(open("a")).opened).toBe("a");
  expect(orThrow(undefined)).toBeUndefined();
  expect(() => orThrow(open("locked"))).toThrow("the door locked is locked");
  expect(open("busy")).toMatchObject({ refused: "doorBusy", error: { reason: "DOOR_BUSY", retryAfterMs: 9 } });
  expect([open("a"), open("busy"), null, "refused"].map(isRefusal)).toEqual([false, true, false, false]);
});

test("rows and what their makers take are typed", () => {
  // @ts-expect-error: not in the table.
  expect(() => refuse("doorOpen")).toThrow();
  // @ts-expect-error: `door_id` is missing.
  expect(() => refuse("doorLocked")).toThrow();
});
