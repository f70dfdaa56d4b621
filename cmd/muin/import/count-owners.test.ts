import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { caught, importMutant } from "../../../internal/platform/testing/mutant.ts";
import * as owning from "./count-owners.ts";
import { type ClaimCount, createCountOwners, createDryClaims } from "./count-owners.ts";

/** Counts by their names, each answer some turns late. */
function countsOf(names: ReadonlyMap<string, string>, delays: () => number) {
  const counts = new Map(names);
  const claim: ClaimCount = async (countId, value) => {
    for (let turn = delays(); turn > 0; turn--) await Promise.resolve();
    if (!counts.has(countId)) counts.set(countId, value);
    return counts.get(countId) === value;
  };
  return { counts, claim };
}

const values = fc.uniqueArray(fc.constantFrom("a b", "a-b", "A b", "a/b", "/a/b", "b", "B", "c"), { maxLength: 8 });

/** Throws unless each value has one Count of its name when two imports ask at once for values of which some have Counts. */
async function checkOwned({ createCountOwners }: typeof owning): Promise<void> {
  await fc.assert(
    fc.asyncProperty(values, values, values, fc.infiniteStream(fc.nat(4)), async (before, one, other, turns) => {
      const { counts, claim } = countsOf(new Map(), () => turns.next().value as number);
      await createCountOwners("p.").assign(before, claim);
      const [first, second] = [createCountOwners("p."), createCountOwners("p.")];
      await Promise.all([first.assign(one, claim), second.assign(other, claim)]);
      for (const [owners, own] of [
        [first, one],
        [second, other],
      ] as const) {
        for (const value of own) expect(counts.get(owners.idOf(value) ?? "")).toBe(value);
      }
      expect(new Set(counts.values()).size).toBe(counts.size);
      expect(counts.size).toBe(new Set([...before, ...one, ...other]).size);
    }),
  );
}

describe("the Counts of values", () => {
  test("are one each, named as the value, whatever was there and whoever else asks at the same time", () =>
    checkOwned(owning));

  test.each([
    ["a refusal", "|| !(await claim(countId, value))", ""],
    ["the order", "for (const value of group) await", "for (const value of group) void"],
  ])("are noticed to be wrong without %s", async (_, from, to) => {
    const mutant = await importMutant<typeof owning>(join(import.meta.dir, "count-owners.ts"), from, to);
    await caught(() => checkOwned(mutant));
  });

  test("that an earlier run assigned stay, and are not asked for", async () => {
    const { claim } = countsOf(new Map([["p.tx", "renamed"]]), () => 0);
    const owners = createCountOwners("p.");
    owners.restore("TX", "p.tx");
    await owners.assign(["tx"], claim);
    expect([owners.idOf("TX"), owners.idOf("tx")]).toEqual(["p.tx", expect.stringMatching(/^p\.tx-[0-9a-f]{6}$/)]);
  });

  test("of which another has the id get another one", async () => {
    const { counts, claim } = countsOf(new Map([["p.tx", "Texas"]]), () => 0);
    const owners = createCountOwners("p.");
    await owners.assign(["TX"], claim);
    expect(owners.idOf("TX")).toMatch(/^p\.tx-[0-9a-f]{6}$/);
    expect(counts.get("p.tx")).toBe("Texas");
  });

  test("belong to the first of them for a look", async () => {
    const owners = createCountOwners("");
    await owners.assign(["tx", "TX"], createDryClaims());
    expect([owners.idOf("tx"), owners.idOf("TX")]).toEqual(["tx", expect.stringMatching(/^tx-[0-9a-f]{6}$/)]);
  });
});
