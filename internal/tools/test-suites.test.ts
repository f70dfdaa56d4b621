import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { isTouched, suiteOf } from "./test-suites.ts";

const root = resolve(import.meta.dir, "../..");

test.each([
  ["pure", "internal/platform/errors/define-errors.test.ts"],
  ["pure", "internal/tools/test-suites.test.ts"],
  ["server", "internal/platform/testing/servers.test.ts"], // Imports servers.
  ["server", "internal/platform/redis/redis.test.ts"],
  ["server", "cmd/muin/commands/commands.test.ts"], // Starts a Muin.
  ["system", "internal/system/kill.test.ts"],
  ["system", "bench/counts/counts.test.ts"],
] as const)("%s is the suite of %s", (suite, file) => {
  expect(suiteOf(join(root, file))).toBe(suite);
});

test("a file's mutants are touched with the file, what it names, and what its fixtures name", () => {
  const folder = mkdtempSync(join(tmpdir(), "muin-suites-"));
  try {
    const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
    write("rule.ts", `import "./deep.ts";`);
    write("deep.ts", "");
    write("broken.ts", "");
    write("rule-fixture.ts", `import "./rule.ts"; breakIn("broken.ts");`);
    write("rule.test.ts", `import "./rule-fixture.ts";`);
    const isTouchedBy = (name: string): boolean =>
      isTouched(join(folder, "rule.test.ts"), new Set([join(folder, name)]));
    const names = ["rule.test.ts", "rule-fixture.ts", "rule.ts", "broken.ts", "deep.ts", "other.ts"];
    expect(names.filter(isTouchedBy)).toEqual(["rule.test.ts", "rule-fixture.ts", "rule.ts", "broken.ts"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
