import { describe, expect, test } from "bun:test";

/** Tests of a contract that an implementation does not meet. */
export interface Skip {
  /** What it does instead, and why that is right. */
  readonly reason: string;
  /** Names of the tests. */
  readonly tests: readonly string[];
}

/** Tests by name; each gets what it works with. */
export type TestTable<Under> = Readonly<Record<string, (under: Under) => Promise<void>>>;

/**
 * Describes an implementation by a contract: all tests of its tables, but those that `skip` names with a reason. `setUp` registers
 * hooks and returns what gives each test that with which it works. A name in `skip` that is no test's name fails.
 */
export function describeContract<Under>(
  name: string,
  contract: { readonly tests: readonly TestTable<Under>[]; readonly skip: readonly Skip[] },
  setUp: () => () => Under,
): void {
  const all = contract.tests.flatMap((table) => Object.entries(table));
  const reasons = new Map(contract.skip.flatMap(({ tests, reason }) => tests.map((title) => [title, reason] as const)));
  describe(name, () => {
    const under = setUp();
    test("skips only tests that there are", () => {
      expect(unknownTests(contract.tests, contract.skip)).toEqual([]);
    });
    for (const [title, check] of all) {
      const reason = reasons.get(title);
      if (reason === undefined) test(title, () => check(under()));
      else test.skip(`${title} (skipped: ${reason})`, () => undefined);
    }
  });
}

/** Names in `skip` that no test has. */
export function unknownTests<Under>(tables: readonly TestTable<Under>[], skip: readonly Skip[]): readonly string[] {
  const known = new Set(tables.flatMap((table) => Object.keys(table)));
  return skip.flatMap(({ tests }) => tests).filter((title) => !known.has(title));
}
