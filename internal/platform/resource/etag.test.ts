import { expect, test } from "bun:test";
import { etagOf, isCurrent } from "./etag.ts";

test("an etag tells versions apart, and no etag asks for none", () => {
  expect([etagOf(3), etagOf(1, 12), etagOf(11, 2)]).toEqual(["v3", "v1.12", "v11.2"]);
  expect([isCurrent("", "v3"), isCurrent("v3", "v3"), isCurrent("v2", "v3")]).toEqual([true, true, false]);
});
