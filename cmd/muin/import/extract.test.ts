import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parse } from "csv-parse/sync";
import { fieldSeparator } from "./count-id.ts";
import { quoteOpenAfter, splitFields } from "./delimited.ts";
import { createExtractor, type ExtractorOptions, ImportOptionsError } from "./extract.ts";
import { detectFormat } from "./format.ts";
import { atJsonPath, parseJsonPath } from "./json-path.ts";

const head = (text: string): Uint8Array => Buffer.from(text);
const extractorOf = (options: Partial<ExtractorOptions> & Pick<ExtractorOptions, "format" | "by">) =>
  createExtractor({ header: true, head: head(""), headIsAll: false, ...options });
const jsonBy = (path: string) => extractorOf({ format: "json", by: [path] });

describe("an access log", () => {
  const line = '203.0.113.7 - - [17/May/2025:10:05:03 +0000] "GET /a HTTP/1.1" 200 12';
  test("gives a field, or several joined", () => {
    expect(extractorOf({ format: "access", by: ["status"] }).extract(line)).toBe("200");
    expect(extractorOf({ format: "access", by: ["method", "status"] }).extract(line)).toBe(`GET${fieldSeparator}200`);
    expect(extractorOf({ format: "access", by: ["status"] }).extract("  ")).toBeUndefined();
    expect(extractorOf({ format: "access", by: ["status"] }).extract("nonsense")).toEqual({
      bad: "not a line of an access log",
    });
  });
  test("names its fields when another is asked for", () => {
    expect(() => extractorOf({ format: "access", by: ["code"] })).toThrow(
      /no field "code"; it has host, user, .*agent/,
    );
  });
});

describe("JSON lines", () => {
  test.each<[path: string, record: string, value: string | { bad: string } | undefined]>([
    ["status", '{"status":200}', "200"],
    ["$.user.plan", '{"user":{"plan":"Pro"}}', "Pro"],
    ["items[1].id", '{"items":[{"id":1},{"id":true}]}', "true"],
    ["['a.b']", '{"a.b":"x"}', "x"],
    ["id", '{"id":12345678901234567890}', "12345678901234567890"],
    ["id", '{"id":1.50}', "1.5"],
    ["x", '{"x":null}', ""],
    ["x", '{"y":1}', { bad: 'no value at "x"' }],
    ["x.y", '{"x":1}', { bad: 'no value at "x.y"' }],
    ["toString", "{}", { bad: 'no value at "toString"' }],
    ["x", '{"x":[1]}', { bad: 'the value at "x" is a list or an object' }],
    ["x", '{"x":', { bad: "not JSON" }],
    ["x", "", undefined],
  ])("%s of %s", (path, record, value) => {
    expect(jsonBy(path).extract(record)).toEqual(value);
  });
  test("refuses what is no path", () => {
    for (const path of ["", "$", "a..b", "a[", "a[x]", "]"]) expect(() => jsonBy(path)).toThrow(ImportOptionsError);
    expect(parseJsonPath("a[0]['b c'].d")).toEqual(["a", 0, "b c", "d"]);
    expect(atJsonPath({ a: [{ "b c": { d: 1 } }] }, ["a", 0, "b c", "d"])).toBe(1);
  });
});

describe("a table", () => {
  test("is read by the names in its header, or by column numbers", () => {
    const csv = { format: "csv" as const, head: head('\uFEFFid,"full ""name""",state\n1,a,TX\n') };
    expect(extractorOf({ ...csv, by: ["state"] }).extract("1,a,TX")).toBe("TX");
    expect(extractorOf({ ...csv, by: ['full "name"'] }).extract('1,"a, b",TX')).toBe("a, b");
    expect(extractorOf({ ...csv, by: ["3"], header: false }).extract("1,a,TX")).toBe("TX");
    expect(extractorOf({ ...csv, by: ["id"] }).headerEnd).toBe(28);
    expect(extractorOf({ ...csv, by: ["1"], header: false }).headerEnd).toBe(0);
    expect(extractorOf({ format: "tsv", by: ["b"], head: head("a\tb\n") }).extract("x\ty,z")).toBe("y,z");
  });
  test("says what is wrong with a record", () => {
    const table = extractorOf({ format: "csv", by: ["3"], header: false });
    expect(table.extract("1,2")).toEqual({ bad: "it has 2 columns, not 3" });
    expect(table.extract('1,2,a"b",')).toEqual({ bad: "a quote stands inside a field that does not begin with one" });
    expect(table.extract('1,2,"a"b')).toEqual({ bad: "text follows a closing quote" });
  });
  test("says which columns there are", () => {
    const options = { format: "csv" as const, head: head("id,state\n") };
    expect(() => extractorOf({ ...options, by: ["State"] })).toThrow(
      'there is no column "State"; there are "id", "state"',
    );
    expect(() => extractorOf({ ...options, by: ["state"], header: false })).toThrow("columns have no names");
    expect(() => extractorOf({ ...options, by: ["state"], head: head("id,state") })).toThrow(
      "the line with the column names has no end yet; --final takes it as it is",
    );
    expect(() => extractorOf({ ...options, by: ["state"], head: head("id,state".padEnd(64 * 1024)) })).toThrow(
      "the line with the column names has no end within the first 64 KiB; is it a table?",
    );
    expect(extractorOf({ ...options, by: ["state"], head: head("id,state"), headIsAll: true }).headerEnd).toBe(8);
  });
  test("splits as the library does, which reads the whole file at once", () => {
    const field = fc
      .array(fc.constantFrom("a", '"', ",", "\n", " ", "é"), { maxLength: 6 })
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.array(fc.array(field, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 }), (rows) => {
        const records = rows.map((row) => row.map((text) => `"${text.replaceAll('"', '""')}"`).join(","));
        const expected = parse(`${records.join("\n")}\n`, { relax_column_count: true });
        expect(records.map((record) => [...(splitFields(record, ",") as readonly string[])])).toEqual(expected);
        for (const record of records) {
          const lines = record.split("\n");
          let open = false;
          const states = lines.map((line) => (open = quoteOpenAfter(line, open, ",")));
          expect(states).toEqual(lines.map((_, index) => index < lines.length - 1));
        }
      }),
    );
  });
});

describe("detectFormat", () => {
  test.each<[head: string, format: ReturnType<typeof detectFormat>]>([
    ['{"a":1}\n', "json"],
    ['garbage, first\n{"a":1}\n', "json"],
    ['a - - [t] "GET / HTTP/1.1" 200 1\n', "access"],
    ['\n\na - - [t] "GET / HTTP/1.1" 200 1\n', "access"],
    ["a,b\tc\n1,2\n", "tsv"],
    ["a,b\n1,2\n", "csv"],
    ["a,b", "csv"],
    ["word\nword\n", undefined],
    ["", undefined],
  ])("%p: %p", (text, format) => {
    expect(detectFormat(text)).toBe(format);
  });
});
