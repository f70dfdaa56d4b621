import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "./mutant.ts";
import * as real from "./contract.ts";

const table = { "a record arrives": () => Promise.resolve() };

const skip = (name: string) => [{ reason: "it cannot", tests: [name] }];

/** A list that skips tests may name only tests that there are. */
function namesWhatIsThere({ unknownTests }: Pick<typeof real, "unknownTests">): void {
  expect(unknownTests([table], [])).toEqual([]);
  expect(unknownTests([table], skip("a record arrives"))).toEqual([]);
  expect(unknownTests([table], skip("a record arives"))).toEqual(["a record arives"]);
}

test("a skipped test that does not exist is named", () => {
  namesWhatIsThere(real);
});

test("mutant: a list that is not compared with the tests is noticed", async () => {
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "contract.ts"),
    ".filter((title) => !known.has(title))",
    ".filter(() => known.has(tables.join()))",
  );
  await caught(() => namesWhatIsThere(mutant));
});
