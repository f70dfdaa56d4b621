import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import { catalog } from "../catalog.ts";
import { defineErrors } from "../platform/errors/define-errors.ts";
import { errorReasons, platformTables } from "./error-reasons.ts";

const root = resolve(import.meta.dir, "../..");

/** Reasons with more than one code. */
function ambiguous(services: Parameters<typeof errorReasons>[0]): readonly string[] {
  return errorReasons(services)
    .filter(({ codes }) => codes.length > 1)
    .map(({ reason, codes, from }) => `${reason}: ${codes.join(", ")} (${from.join(", ")})`);
}

test("a reason has one code in all of Muin", () => {
  expect(ambiguous(catalog)).toEqual([]);
  const { table } = defineErrors({ other: { reason: "INTERNAL", code: "aborted", text: "something else" } });
  expect(ambiguous([{ ...catalog[0]!, errors: table }])).toEqual(["INTERNAL: internal, aborted (every service)"]);
});

test("every service says what it may answer", () => {
  expect(catalog.filter(({ errors }) => errors === undefined).map(({ name }) => name)).toEqual([]);
});

test("every table of the platform is listed", async () => {
  const found: string[] = [];
  for (const file of new Glob("internal/platform/**/*.ts").scanSync({ cwd: root })) {
    if (file.endsWith(".test.ts")) continue;
    const text = await Bun.file(join(root, file)).text();
    if (/^export const \w+ = defineErrors\(/m.test(text)) found.push(file);
  }
  expect(found).toHaveLength(platformTables.length);
});
