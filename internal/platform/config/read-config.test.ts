import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { caught, importMutant } from "../testing/mutant.ts";
import { flag, int, oneOf, secret, text, url } from "./fields.ts";
import { ConfigError, describeConfig, findUnknown, readConfig } from "./read-config.ts";

const fields = {
  batchMax: int("BATCH_MAX", { doc: "Writes in a batch.", default: 512, min: 1, max: 512 }),
  label: text("LABEL", { doc: "Shown to people.", default: "none" }),
  level: oneOf("LEVEL", ["info", "debug"], { doc: "How much is said.", default: "info" }),
  pepper: secret("PEPPER", { doc: "Mixed into hashes." }),
  store: url("STORE_URL", { doc: "Where values are.", schemes: ["redis", "rediss"] }),
  strict: flag("STRICT", { doc: "Refuse more.", default: false }),
} as const;

function problemsOf(read: () => unknown): readonly string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

describe("readConfig", () => {
  test("reads a shared setting without the service's prefix", () => {
    const shared = { issuer: { ...text("ISSUER", { doc: "Who issues tokens.", default: "muin" }), isShared: true } };
    const env = { MUIN_ISSUER: "https://one.example", MUIN_AUTH_ISSUER: "https://other.example" };
    expect(readConfig("auth", shared, env)).toEqual({ issuer: "https://one.example" });
  });

  test("gives typed values and defaults", () => {
    const { pepper, ...rest } = readConfig("count-write", fields, {
      MUIN_COUNT_WRITE_BATCH_MAX: "100",
      MUIN_COUNT_WRITE_PEPPER: "hot",
      MUIN_COUNT_WRITE_STORE_URL: "redis://u:p@h:1/0",
      MUIN_COUNT_WRITE_STRICT: "true",
    });
    expect(rest).toEqual({
      batchMax: 100,
      label: "none",
      level: "info",
      store: "redis://u:p@h:1/0",
      strict: true,
    });
    expect(pepper.reveal()).toBe("hot");
    expect(`${String(pepper)} ${JSON.stringify({ pepper })} ${inspect(pepper)}`).not.toContain("hot");
  });

  test.each(["http:h", "http:///h", "http://h\\x", "http://2130706433", "https://h/\n", "redis://h\n", "redis://h/0 "])(
    "refuses the URL %p, which readers of URLs take for different ones",
    (value) => {
      const urls = { calls: url("CALLS_URL", { doc: "Where calls go.", schemes: ["http", "https", "redis"] }) };
      expect(problemsOf(() => readConfig("", urls, { MUIN_CALLS_URL: value }))).toMatchObject([
        expect.stringContaining("MUIN_CALLS_URL"),
      ]);
    },
  );

  test("names every problem at once and shows no secret", () => {
    const long = "pepper".repeat(1000);
    expect(
      problemsOf(() =>
        readConfig("", fields, {
          MUIN_BATCH_MAX: "513",
          MUIN_LABEL: "",
          MUIN_LEVEL: "loud",
          MUIN_PEPPER: long,
          MUIN_STORE_URL: "http://user:hunter2@/x@host",
          MUIN_STRICT: "yes",
        }),
      ),
    ).toEqual([
      `MUIN_BATCH_MAX got "513", accepts integer, 1 to 512`,
      "MUIN_LABEL got an empty text, accepts text",
      `MUIN_LEVEL got "loud", accepts info | debug`,
      `MUIN_PEPPER got "[redacted]", accepts secret text`,
      `MUIN_STORE_URL got "http://[redacted]@host", accepts redis://… | rediss://…`,
      `MUIN_STRICT got "yes", accepts 1 | 0 | true | false`,
    ]);
    expect(problemsOf(() => readConfig("", { store: fields.store }, { MUIN_STORE_URL: "user:hunter2@host" }))).toEqual([
      `MUIN_STORE_URL got "[redacted]@host", accepts redis://… | rediss://…`,
    ]);
    expect(problemsOf(() => readConfig("", fields, {}))).toEqual([
      "MUIN_PEPPER is missing: it must be given (secret text)",
      "MUIN_STORE_URL is missing: it must be given (redis://… | rediss://…)",
    ]);
  });

  test("reads a value from a file and says so", () => {
    const folder = mkdtempSync(join(tmpdir(), "muin-config-"));
    try {
      const path = join(folder, "pepper");
      writeFileSync(path, "from file \n");
      const one = { pepper: fields.pepper };
      expect(readConfig("", one, { MUIN_PEPPER_FILE: path }).pepper.reveal()).toBe("from file ");
      expect(describeConfig("", one, { MUIN_PEPPER_FILE: path })).toEqual([
        {
          variable: "MUIN_PEPPER",
          accepts: "secret text",
          doc: "Mixed into hashes.",
          default: undefined,
          value: "[redacted]",
          source: path,
          problem: undefined,
        },
      ]);
      expect(problemsOf(() => readConfig("", one, { MUIN_PEPPER_FILE: path, MUIN_PEPPER: "x" }))).toEqual([
        "MUIN_PEPPER and MUIN_PEPPER_FILE are both set: give one of them",
      ]);
      expect(problemsOf(() => readConfig("", one, { MUIN_PEPPER_FILE: join(folder, "none") }))).toEqual([
        `MUIN_PEPPER_FILE names ${join(folder, "none")}, which cannot be read (ENOENT)`,
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

const hidden = [
  ["redis://user:hunter2%zz@host", "redis://[redacted]@host"],
  ["redis://hunter2%@host", "redis://[redacted]@host"],
  ["Redis://host?password=hunter2&db=1", "Redis://host?password=[redacted]&db=1"],
  ["http://host/?db=1&PGPASSWORD=hunter2", "http://host/?db=1&PGPASSWORD=[redacted]"],
  ["host?sslpassword=hunter2", "host?sslpassword=[redacted]"],
] as const;

function expectHidden(field: typeof url): void {
  const store = field("STORE_URL", { doc: "Where values are.", schemes: ["redis", "rediss"] });
  for (const [given, shown] of hidden) {
    const [row] = describeConfig("", { store }, { MUIN_STORE_URL: given });
    expect([row?.value, row?.problem]).toEqual([
      shown,
      `MUIN_STORE_URL got "${shown}", accepts redis://… | rediss://…`,
    ]);
  }
}

test("a URL that drivers cannot decode is refused, and none shows a password, wherever it stands", () =>
  expectHidden(url));

test.each([
  ["is not decoded", "for (const part of [username, password, pathname]) decodeURIComponent(part);", "void username;"],
  ["shows parameters", "/([?&]\\w*pass\\w*=)[^&]*/gi", "/(never)/"],
])("the test notices when a URL %s", async (_, from, to) => {
  const mutant = await importMutant<{ url: typeof url }>(join(import.meta.dir, "fields.ts"), from, to);
  await caught(() => expectHidden(mutant.url));
});

test("describeConfig shows values and sources, good or bad", () => {
  const rows = describeConfig("", fields, {
    MUIN_STORE_URL: "redis://u:p@h",
    MUIN_LEVEL: "loud",
    MUIN_LABEL: "http://u:p@h",
  });
  expect(rows.map((row) => [row.variable, row.value, row.source, row.problem !== undefined])).toEqual([
    ["MUIN_BATCH_MAX", "512", "default", false],
    ["MUIN_LABEL", "http://[redacted]@h", "environment", false],
    ["MUIN_LEVEL", "loud", "environment", true],
    ["MUIN_PEPPER", undefined, "default", true],
    ["MUIN_STORE_URL", "redis://[redacted]@h", "environment", false],
    ["MUIN_STRICT", "false", "default", false],
  ]);
});

test("findUnknown names mistyped variables with the nearest known one", () => {
  const known = ["MUIN_HTTP_PORT", "MUIN_PEPPER"];
  const env = {
    MUIN_HTTP_PROT: "1",
    MUIN_PEPPER_FILE: "/x",
    MUIN_PEPPER_FIEL: "/x",
    MUIN_ZEBRA_CROSSING: "1",
    HOME: "/",
  };
  expect(findUnknown(known, env)).toEqual([
    { variable: "MUIN_HTTP_PROT", nearest: "MUIN_HTTP_PORT" },
    { variable: "MUIN_PEPPER_FIEL", nearest: "MUIN_PEPPER_FILE" },
    { variable: "MUIN_ZEBRA_CROSSING", nearest: undefined },
  ]);
});
