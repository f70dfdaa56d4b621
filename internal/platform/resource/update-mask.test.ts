import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { EquipmentSchema } from "../../gen/muin/identity/v1/branch_pb.ts";
import { applyUpdate } from "./update-mask.ts";

const allowed = ["display_name", "quantity"];
const present = { equipmentId: "id", displayName: "old", quantity: 3 };

/** What an update makes of `present`. */
function updated(given: object, mask?: readonly string[]): object {
  const target = create(EquipmentSchema, present);
  applyUpdate(EquipmentSchema, target, create(EquipmentSchema, given), { mask, allowed });
  const { equipmentId, displayName, quantity } = target;
  return { equipmentId, displayName, quantity };
}

test.each<[string, object, readonly string[] | undefined, object]>([
  ["no mask: what is set", { displayName: "new" }, undefined, { ...present, displayName: "new" }],
  ["no mask, nothing set", {}, undefined, present],
  ["an empty mask is none", { quantity: 4 }, [], { ...present, quantity: 4 }],
  ["what the mask names", { displayName: "new", quantity: 4 }, ["quantity"], { ...present, quantity: 4 }],
  ["what the mask names and is not set", {}, ["display_name"], { ...present, displayName: "" }],
  [
    "all that is allowed",
    { displayName: "new", equipmentId: "other" },
    ["*"],
    { ...present, displayName: "new", quantity: 0 },
  ],
  ["never what is not allowed", { equipmentId: "other" }, undefined, present],
])("%s", (_, given, mask, expected) => {
  expect(updated(given, mask)).toEqual(expected);
});

test.each([
  [["equipment_id"], '"equipment_id" cannot be updated; use display_name, quantity'],
  [["displayName"], '"displayName" cannot be updated; use display_name, quantity'],
  [["quantity", "constructor", "x"], '"constructor", "x" cannot be updated'],
  [["*", "quantity"], '"*" stands alone'],
])("the mask %p is refused", (mask, message) => {
  expect(() => updated({ quantity: 4 }, mask)).toThrow(`update_mask: ${message}`);
});
