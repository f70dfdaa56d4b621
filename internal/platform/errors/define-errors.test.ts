import { expect, test } from "bun:test";
import { defineErrors, type ReasonOf } from "./define-errors.ts";

const errors = defineErrors({
  doorLocked: { reason: "DOOR_LOCKED", code: "failed_precondition", text: "the door {door_id} is locked by {who}" },
  doorBusy: { reason: "DOOR_BUSY", code: "unavailable", text: "the door is busy", retryAfterMs: 250 },
});

test("a maker fills in the text and sends its parameters as metadata", () => {
  const error = errors.doorLocked({ door_id: "d1", who: "{guard}" }, { metadata: { since: "noon" } });
  expect(error).toMatchObject({
    code: "failed_precondition",
    reason: "DOOR_LOCKED",
    message: "the door d1 is locked by {guard}",
    metadata: { door_id: "d1", who: "{guard}", since: "noon" },
    violations: [],
    retryAfterMs: undefined,
  });
});

test("a row without parameters takes only what is added", () => {
  const cause = new Error("bolt");
  expect(errors.doorBusy()).toMatchObject({ reason: "DOOR_BUSY", metadata: {}, retryAfterMs: 250 });
  const violations = [{ field: "door", description: "one of two" }];
  expect(errors.doorBusy({ retryAfterMs: 9, violations, cause })).toMatchObject({ retryAfterMs: 9, violations, cause });
  expect(errors.doorBusy({ message: "somebody is in the door" }).message).toBe("somebody is in the door");
});

test("reasons are a closed union and parameters are typed", () => {
  const reason: ReasonOf<typeof errors> = "DOOR_LOCKED";
  // @ts-expect-error: not in the table.
  const other: ReasonOf<typeof errors> = "DOOR_OPEN";
  // @ts-expect-error: `who` is missing.
  errors.doorLocked({ door_id: "d1" });
  // @ts-expect-error: the text has no parameter.
  errors.doorBusy({ door_id: "d1" });
  expect<string[]>([reason, other]).toEqual(["DOOR_LOCKED", "DOOR_OPEN"]);
});
