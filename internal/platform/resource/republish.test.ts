import { expect, test } from "bun:test";
import { republishAll } from "./republish.ts";

test("every page is recorded once, those of which nothing is recorded included", async () => {
  const pages = new Map([
    ["", { last: "b", recorded: 2 }],
    ["b", { last: "d", recorded: 0 }],
    ["d", { last: "e", recorded: 1 }],
    ["e", { last: "", recorded: 0 }],
  ]);
  const asked: string[] = [];
  const recorded = await republishAll((after) => {
    asked.push(after);
    return Promise.resolve(pages.get(after) ?? { last: "", recorded: 100 });
  });
  expect([asked, recorded]).toEqual([["", "b", "d", "e"], 3]);
});
