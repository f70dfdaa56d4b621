import { describe, expect, test } from "bun:test";
import { dirname, join, resolve } from "node:path";
import { Glob } from "bun";
import {
  datesOfNow,
  emptyDocstrings,
  errorsByHand,
  importedLimits,
  longFunctions,
  lowerKeywords,
  lowerKeywordsIn,
  otherZoneRules,
  parse,
  silentSkips,
  sqlIn,
  storesWithoutContract,
  strayFiles,
  zonedSqlOf,
  type Breach,
} from "./tidy-rules.ts";

const root = resolve(import.meta.dir, "../..");

/** A function of more lines does too much. */
const functionLinesMax = 80;

/** Functions that were longer when the bound was set, by name, with their lines. It only shrinks: who shortens one lowers it here. */
const longFunctionsKnown: Readonly<Record<string, number>> = {
  createApiKeyVerifier: 85,
  createBatchesInFlight: 131,
  createBranchRules: 106,
  createCountImports: 83,
  createCountReader: 130,
  createCountWriter: 97,
  createInfoCache: 141,
  createSigningKeys: 81,
  createSupervisedProcess: 151,
  startLoad: 136,
  startReading: 99,
};

/** Where SQL may stand beside stores and migrations: what the platform does with databases, or prints for them. */
const sqlPlaces =
  /(^|\/)store-postgres\.ts$|^internal\/platform\/(postgres|local)\/|^internal\/platform\/catalog\/managed-stores\.ts$|^internal\/platform\/events\/(inbox|outbox|outbox-table)\.ts$/;

/** A migration stays as it was when it was applied: databases remember its checksum. */
const lowerCaseMigrations = new Set(["internal/platform/postgres/migrations/0001_events.sql"]);

/** Files at the top of a service that has nouns: what all of them use, and no other. */
const strayFilesKnown: Readonly<Record<string, readonly string[]>> = {
  "internal/count/management": ["id-range.ts"],
  "internal/count/read": ["gather.ts", "handlers.ts", "impatient.ts"],
};

const files = [...new Glob("{cmd,internal,bench}/**/*.{ts,sql}").scanSync({ cwd: root })]
  .filter((file) => !file.startsWith("internal/gen/") && !file.includes("/testdata/"))
  .toSorted();
const texts = new Map(
  await Promise.all(files.map(async (file) => [file, await Bun.file(join(root, file)).text()] as const)),
);
const code = files.filter((file) => file.endsWith(".ts"));
const sources = new Map(code.map((file) => [file, parse(file, texts.get(file) ?? "")]));
const isShipped = (file: string): boolean =>
  !/\.test\.ts$|-fixture\.ts$|\.contract\.ts$|-(child|worker)\.ts$|^internal\/(system|tools|platform\/testing)\/|^bench\//.test(
    file,
  );

/** Breaches of a rule in the files that `of` chooses, as `file:line: what`. */
function breaches(
  rule: (source: ReturnType<typeof parse>) => readonly Breach[],
  of: (file: string) => boolean = () => true,
): readonly string[] {
  return [...sources]
    .filter(([file]) => of(file))
    .flatMap(([file, source]) => rule(source).map(({ line, what }) => `${file}:${line}: ${what}`));
}

/** Services with the files in their folders. */
const services = new Map<string, string[]>();
for (const file of files) {
  const [, service, path] =
    /^(internal\/(?:identity|count|face|operations|discovery|community)\/(?!shared\/)[^/]+)\/(.+)$/.exec(file) ?? [];
  if (service === undefined || path === undefined) continue;
  services.set(service, [...(services.get(service) ?? []), path]);
}

const bad = (text: string): ReturnType<typeof parse> => parse("mutant.ts", text);

function functionOf(lines: number): ReturnType<typeof parse> {
  return bad(`const make = () => {\n${"f();\n".repeat(lines - 2)}};`);
}

test("all of the code is looked at", () => {
  expect(code.length).toBeGreaterThan(400);
  expect(services.size).toBeGreaterThanOrEqual(6);
});

describe("functions", () => {
  test(`have at most ${functionLinesMax} lines, and those that had more get shorter`, () => {
    const long: Record<string, number> = {};
    for (const [file, source] of sources) {
      if (/\.test\.ts$|\.contract\.ts$/.test(file)) continue;
      for (const { name, lines } of longFunctions(source, functionLinesMax))
        long[name] = Math.max(lines, long[name] ?? 0);
    }
    expect(long).toEqual(longFunctionsKnown);
  });

  test("mutant: one line too many", () => {
    expect(longFunctions(functionOf(functionLinesMax), functionLinesMax)).toEqual([]);
    expect(longFunctions(functionOf(functionLinesMax + 1), functionLinesMax)).toEqual([
      { name: "make", line: 1, lines: functionLinesMax + 1 },
    ]);
  });
});

describe("SQL", () => {
  test("stands in store-postgres.ts and migrations", () => {
    expect(breaches(sqlIn, (file) => isShipped(file) && !sqlPlaces.test(file))).toEqual([]);
  });

  test("has its keywords in upper case", () => {
    const migrations = files.filter((file) => file.endsWith(".sql") && !lowerCaseMigrations.has(file));
    const inMigrations = migrations.flatMap((file) =>
      lowerKeywords(texts.get(file) ?? "").map((word) => `${file}: ${word}`),
    );
    expect([...breaches(lowerKeywordsIn), ...inMigrations]).toEqual([]);
  });

  test("mutants: a statement elsewhere, and keywords in lower case", () => {
    expect(sqlIn(bad("tx`SELECT 1 FROM t`;"))).toHaveLength(1);
    expect(sqlIn(bad("tx`\n  delete from t`;"))).toHaveLength(1);
    expect(sqlIn(bad("tx`-- why\\nSELECT 1`; tx`AND a = ${1}`; tx`${a} UNION SELECT 1`;"))).toHaveLength(3);
    expect(sqlIn(bad('tx.unsafe("delete" + " from t");'))).toHaveLength(1);
    expect(sqlIn(bad('ask("UPDATE t SET a = 1"); String.raw`SELECT 1`;'))).toHaveLength(1);
    expect(sqlIn(bad('say("Select a person from the list");'))).toEqual([]);
    expect(lowerKeywords("SELECT a from t where b = 'from' -- where")).toEqual(["from", "where"]);
    expect(lowerKeywordsIn(bad("sql`insert into t VALUES (${a})`;"))).toEqual([{ line: 1, what: "insert into" }]);
  });
});

describe("a service's folder", () => {
  test("holds the files that every service has, and a folder per noun", () => {
    const stray = [...services].map(([service, paths]) => [service, strayFiles(paths)] as const);
    expect(Object.fromEntries(stray.filter(([, paths]) => paths.length > 0))).toEqual(strayFilesKnown);
  });

  test("holds each store to a contract", () => {
    const without = [...services].flatMap(([service, paths]) =>
      storesWithoutContract(paths).map((path) => `${service}/${path}`),
    );
    expect(without).toEqual([]);
  });

  test("mutants: a file that belongs into a noun's folder, one that repeats the noun, a store without a contract", () => {
    const good = [
      "definition.ts",
      "migrations/0001_a.sql",
      "noun/rules.ts",
      "noun/store-postgres.ts",
      "noun/store.contract.ts",
    ];
    expect(strayFiles(good)).toEqual([]);
    expect(strayFiles(["definition.ts", "handlers.ts", "password.ts"])).toEqual([]);
    expect(strayFiles([...good, "handlers.ts"])).toEqual(["handlers.ts"]);
    expect(strayFiles([...good, "noun/noun-rules.ts"])).toEqual(["noun/noun-rules.ts"]);
    expect(strayFiles([...good, "noun/deep/rules.ts"])).toEqual(["noun/deep/rules.ts"]);
    expect(strayFiles([...good, "migrations/first.sql"])).toEqual(["migrations/first.sql"]);
    expect(storesWithoutContract(good)).toEqual([]);
    expect(storesWithoutContract(["noun/store-postgres.ts"])).toEqual(["noun/store-postgres.ts"]);
  });
});

describe("errors", () => {
  test("come from tables", () => {
    expect(breaches(errorsByHand, (file) => isShipped(file) && !file.startsWith("internal/platform/errors/"))).toEqual(
      [],
    );
  });

  test("mutant: one made by hand", () => {
    expect(errorsByHand(bad('throw new MuinError({ reason: "A" });'))).toHaveLength(1);
  });
});

describe("docstrings", () => {
  test("say more than the name", () => {
    const empty = code.flatMap((file) =>
      emptyDocstrings(texts.get(file) ?? "").map(({ line, what }) => `${file}:${line}: ${what}`),
    );
    expect(empty.filter((each) => !each.startsWith("internal/tools/tidy"))).toEqual([]);
  });

  test("mutants: docstrings that say nothing", () => {
    expect(emptyDocstrings("/** Makes the rules. */\n/** What a relay needs. */")).toHaveLength(2);
    expect(emptyDocstrings("/** Needs no server. */")).toEqual([]);
  });
});

test("the time comes from a clock that was handed in", () => {
  expect(breaches(datesOfNow, isShipped)).toEqual([]);
  expect(datesOfNow(bad("new Date(); new Date(ms);"))).toHaveLength(1); // A mutant.
});

describe("local times", () => {
  test("go by the rules of zones.ts alone", () => {
    const inMigrations = files.filter(
      (file) => file.endsWith(".sql") && zonedSqlOf(texts.get(file) ?? "") !== undefined,
    );
    expect([...breaches(otherZoneRules, isShipped), ...inMigrations]).toEqual([]);
  });

  test("mutants: local fields, an instant in a time zone, SQL that knows time zones", () => {
    expect(otherZoneRules(bad("new Date(2026, 0); new Date(2026, 0, 1, 9);"))).toHaveLength(2);
    expect(otherZoneRules(bad('instant.toString({ timeZone: "Asia/Seoul" });'))).toHaveLength(1);
    expect(otherZoneRules(bad("tx`SELECT at AT TIME ZONE ${zone} FROM t`; ask('SELECT CURRENT_DATE');"))).toHaveLength(
      2,
    );
    expect(otherZoneRules(bad("new Date(ms); (255).toString(16); tx`SELECT now()`; say('at time zone');"))).toEqual([]);
    expect(zonedSqlOf("CREATE INDEX i ON t (date_trunc('day', at));")).toBe("date_trunc(");
    expect(zonedSqlOf("SELECT date_trunc('month', at, 'UTC')")).toBeUndefined();
  });
});

describe("tests", () => {
  test("write out the limits that they expect", () => {
    const found = [...sources]
      .filter(([file]) => /\.(test|contract)\.ts$/.test(file))
      .flatMap(([file, source]) =>
        importedLimits(source, (path) =>
          isShipped(join(dirname(file), path)) ? sources.get(join(dirname(file), path)) : undefined,
        ).map(({ line, what }) => `${file}:${line}: ${what}`),
      );
    expect(found).toEqual([]);
  });

  test("mutant: a limit by its name", () => {
    const limits = bad(
      "export const callsMax = 10; export const lifeMs: number = 2 * dayMs; export const name = text(1);",
    );
    const of = bad('import { callsMax, lifeMs as life, name } from "./limits.ts";');
    expect(importedLimits(of, () => limits).map(({ what }) => what)).toEqual(["callsMax", "lifeMs"]);
  });

  test("say without what they are skipped", () => {
    expect(breaches(silentSkips, (file) => !file.startsWith("internal/platform/testing/"))).toEqual([]);
  });

  test("mutant: a skip without its reason", () => {
    expect(silentSkips(bad('test.skipIf(a)("b", () => {});'))).toHaveLength(1);
    expect(silentSkips(bad('test.skip("b", () => {});'))).toHaveLength(1);
    expect(silentSkips(bad('test.skipIf(a)("b (skipped without c)", () => {});'))).toEqual([]);
    expect(silentSkips(bad('describe("b (skipped without c)", () => { test.skipIf(a)("d", () => {}); });'))).toEqual(
      [],
    );
  });
});
