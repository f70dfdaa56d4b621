import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import {
  createMuinFolder,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../../../internal/platform/testing/muin.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(120_000);

let folder: MuinFolder;
let muin: TestMuin;
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Writes an input file; bytes are written as the characters U+0000 to U+00FF of a "latin1" text. */
async function write(
  name: string,
  content: string | Uint8Array,
  encoding: "utf8" | "latin1" = "utf8",
): Promise<string> {
  const path = join(folder.path, name);
  await Bun.write(path, typeof content === "string" ? Buffer.from(content, encoding) : content);
  return path;
}

interface Imported {
  readonly code: number | null;
  /** The report, as JSON; `undefined` when none was printed. */
  readonly report: Readonly<Record<string, unknown>> | undefined;
  readonly stderr: string;
}

/** Imports a file into Counts with this prefix. */
async function importFile(file: string, by: string, prefix: string, ...args: readonly string[]): Promise<Imported> {
  const ended = await muin.run("counts", "import", file, "--by", by, "--prefix", prefix, ...args, "--json");
  const report = ended.stdout === "" ? undefined : (JSON.parse(ended.stdout) as Record<string, unknown>);
  return { code: ended.code, report, stderr: ended.stderr };
}

/** Values of all Counts whose ids begin with a prefix, by their names. */
async function named(prefix: string): Promise<readonly (readonly [name: string, value: number])[]> {
  const counts = (await muin.rows("counts", "list", "--prefix", prefix)) as { display_name: string; value: number }[];
  return counts.map(({ display_name: name, value }) => [name, value] as const).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** A line of an access log. */
function request(path: string, status = 200): string {
  return `192.0.2.7 - - [29/Nov/2026:12:00:01 +0000] "GET ${path} HTTP/1.1" ${status} 1 "-" "c"`;
}

describe("text", () => {
  test("that is not UTF-8 is a bad line where it is what is counted, and never merged", async () => {
    const lines = `${request("/caf\u00e9")}\n${request("/caf\u00e8")}\n${request("/caf\u00c3\u00a9")}\n`;
    const file = await write("latin1.log", lines, "latin1");
    const byPath = await importFile(file, "path", "latin1.path.");
    expect(byPath).toMatchObject({ code: 0, report: { counted: 1, bad_lines: 2 } });
    expect(byPath.report?.["bad"]).toMatchObject([
      { line: 1, why: "its value is not UTF-8 text" },
      { line: 2, why: "its value is not UTF-8 text" },
    ]);
    expect(await named("latin1.path.")).toEqual([["/café", 1]]);
    expect(await importFile(file, "status", "latin1.status.")).toMatchObject({ code: 0, report: { counted: 3 } });
    expect(await named("latin1.status.")).toEqual([["200", 3]]);
  });

  test("with halves of surrogate pairs is a bad line, and so is JSON that is not UTF-8", async () => {
    const lines = '{"s":"\\ud800"}\n{"s":"\\ud801"}\n{"s":"\\ud83d\\ude00"}\n{"s":"\u00e9"}\n';
    const file = await write("surrogates.jsonl", lines, "latin1");
    const { code, report } = await importFile(file, "s", "surrogates.");
    expect({ code, report }).toMatchObject({ code: 0, report: { counted: 1, bad_lines: 3 } });
    expect(report?.["bad"]).toMatchObject([
      { line: 1, why: "its value is not UTF-8 text" },
      { line: 2, why: "its value is not UTF-8 text" },
      { line: 4, why: "not JSON: it is not UTF-8" },
    ]);
    expect(await named("surrogates.")).toEqual([["😀", 1]]);
  });

  test("with NUL is a bad line where it is what is counted, and cuts no field", async () => {
    const file = await write("nul.csv", 'k,v\na,"x"\n1\0,"y"\nb\0c,"z"\nb,"y\0"\n');
    const byKey = await importFile(file, "k", "nul.k.");
    expect(byKey).toMatchObject({ code: 0, report: { counted: 2, bad_lines: 2 } });
    expect(byKey.report?.["bad"]).toMatchObject([
      { line: 3, why: "its value holds a NUL character" },
      { line: 4, why: "its value holds a NUL character" },
    ]);
    expect(await named("nul.k.")).toEqual([
      ["a", 1],
      ["b", 1],
    ]);
    const byValue = await importFile(file, "v", "nul.v.");
    expect(byValue).toMatchObject({ code: 0, report: { counted: 3, bad_lines: 1, bad: [{ line: 5 }] } });
    expect(await named("nul.v.")).toEqual([
      ["x", 1],
      ["y", 1],
      ["z", 1],
    ]);
    const json = await write("nul.jsonl", '{"s":"a\\u0000b"}\n{"s":"a"}\n');
    expect(await importFile(json, "s", "nul.s.")).toMatchObject({ code: 0, report: { counted: 1, bad_lines: 1 } });
  });
});

describe("lines", () => {
  test.each([
    ["cr.log", `${request("/a")}\r${request("/b", 404)}\r${request("/c", 404)}\r`, "status"],
    ["cr.csv", "country,n\rKR,1\rDE,2\r", "country"],
  ])("that end in CR alone are refused by name: %s", async (name, content, by) => {
    const { code, report, stderr } = await importFile(await write(name, content), by, "cr.");
    expect({ code, report }).toEqual({ code: 2, report: undefined });
    expect(stderr).toMatch(/^muin: the lines of \S+ end in CR alone; convert them to LF, such as with tr/);
    expect(await named("cr.")).toEqual([]);
  });

  test.each<[name: string, content: string, by: string, ...args: string[]]>([
    ["cr-header.csv", "country,n\nKR,1\rDE,2\r", "country"],
    ["cr-first.log", `${request("/a")}\n${request("/b", 404)}\r${request("/c", 404)}\r`, "status"],
    ["cr-first.jsonl", '{"s":200}\n{"s":404}\r{"s":404}', "s"],
    ["cr-quoted.csv", 'DE,"x\ny"\rKR,2\r', "1", "--no-header"],
  ])("that end in CR alone behind the first do not wait for an end: %s", async (name, content, by, ...args) => {
    const { code, stderr } = await importFile(await write(name, content), by, "cr-behind.", ...args);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining(
        "muin: the last line has no end, and CR stands within it: lines end in LF or CR LF; what came before is counted\n",
      ) as string,
    });
  });

  test.each([
    ["half a CR LF", "country,n\r\nKR,1\r"],
    ["a quoted field with CR", 'country,n\nKR,"1\r2'],
  ])("whose last waits: %s", async (name, content) => {
    const { code } = await importFile(await write(`${name}.csv`, content), "country", "cr-waits.");
    expect(code).toBe(0);
    expect(await named("cr-waits.")).toEqual([]);
  });

  test("with a CR in their middle are bad, but for a CR in a quoted field", async () => {
    const log = await write("stray.log", `${request("/a")}\n${request("/b")}\r${request("/c")}\n`);
    expect(await importFile(log, "path", "stray.log.")).toMatchObject({
      code: 0,
      report: { counted: 1, bad_lines: 1 },
    });
    const table = await write("stray.csv", 'country,n\r\nKR,1\rDE,2\r\nAT,3\r\n"F\rR",4\n"FI",5\r"NO",6\n');
    const imported = await importFile(table, "country", "stray.csv.");
    expect(imported).toMatchObject({ code: 0, report: { counted: 2, bad_lines: 2, bad: [{ line: 2 }, { line: 5 }] } });
    expect(await named("stray.csv.")).toEqual([
      ["AT", 1],
      ["F\uFFFDR", 1],
    ]);
  });

  test("of which the first is long say so, and are counted when the format is given", async () => {
    const file = await write("long.jsonl", `{"x":"${"y".repeat(70_000)}","s":1}\n{"s":2}\n`);
    const { code, stderr } = await importFile(file, "s", "long.");
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^muin: the first line of \S+ has no end within 64 KiB, .*: say --format access, json, csv or tsv/,
    );
    expect(await importFile(file, "s", "long.", "--format", "json")).toMatchObject({ code: 0, report: { counted: 2 } });
  });
});

/** The data with bits of one byte turned. */
function flipped(data: Uint8Array, at: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(data, (byte, place) => (place === at ? byte ^ 0x55 : byte));
}

describe("gzip data", () => {
  const [first, second, third] = [`${request("/a")}\n`, `${request("/b", 404)}\n`, `${request("/c", 404)}\n`] as const;
  const both = gzipSync(first + second);

  test.each<[what: string, id: string, data: Uint8Array, counted: number]>([
    ["of two members is counted whole", "members", Buffer.concat([both, gzipSync(third)]), 3],
    ["padded with zeros is counted", "zeros", Buffer.concat([both, Buffer.alloc(512)]), 2],
    ["of members with zeros between them is counted whole", "between", Buffer.concat([both, Buffer.alloc(9), both]), 4],
    ["that begins with an empty member is counted", "empty", Buffer.concat([gzipSync(""), both]), 2],
  ])("%s", async (_, id, data, counted) => {
    const file = await write(`${id}.log.gz`, data);
    const imported = await importFile(file, "method", `gz.${id}.`);
    expect(imported).toMatchObject({ code: 0, report: { counted, end: "finished", warnings: [] } });
    expect(await named(`gz.${id}.`)).toEqual([["GET", counted]]);
  });

  test("with bytes behind its end is counted, with a warning", async () => {
    const file = await write("trailing.log.gz", Buffer.concat([both, Buffer.from("garbage after the end")]));
    const warning = `${file} has bytes behind the end of its gzip data, which are not counted`;
    const { code, report, stderr } = await importFile(file, "status", "gz.trailing.");
    expect({ code, report }).toMatchObject({ code: 0, report: { counted: 2, end: "finished", warnings: [warning] } });
    expect(stderr).toContain(`warning: ${warning}\n`);
    expect(await named("gz.trailing.")).toEqual([
      ["200", 1],
      ["404", 1],
    ]);
  });

  test.each<[what: string, id: string, data: Uint8Array, says: string]>([
    ["a wrong checksum", "crc", flipped(both, both.length - 8), "its checksum is another"],
    ["a wrong length", "length", flipped(both, both.length - 4), "its length is another"],
    [
      "a wrong checksum behind more than is read at first",
      "late",
      flipped(gzipSync(first.repeat(20_000)), gzipSync(first.repeat(20_000)).length - 8),
      "its checksum is another",
    ],
    ["a byte that cannot be", "broken", flipped(both, 10), "it cannot be decompressed"],
  ])("with %s is damaged, and nothing of it is counted", async (_, id, data, says) => {
    const file = await write(`${id}.log.gz`, data);
    const imported = await importFile(file, "status", `gz.${id}.`);
    const stderr = `muin: ${file} is not counted: the gzip data is damaged: ${says}\n`;
    expect(imported).toEqual({ code: 1, report: undefined, stderr });
    expect(await named(`gz.${id}.`)).toEqual([]);
  });

  test("that is damaged and comes in a stream counts nothing of the part that was not sent", async () => {
    const args = ["counts", "import", "-", "--by", "status", "--prefix", "gz.stream.", "--import-id", "gz-stream"];
    const { code, stderr } = await muin.begin(args, { stdin: flipped(both, both.length - 8) }).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("the gzip data is damaged: its checksum is another");
    expect(await named("gz.stream.")).toEqual([]);
  });

  test("that is cut off is counted as far as it goes, and says so", async () => {
    const noise = Array.from({ length: 3000 }, (_, place) => request(`/${place * 7919}`)).join("\n");
    const data = gzipSync(`${noise}\n`);
    const file = await write("cut.log.gz", data.subarray(0, data.length / 2));
    const { code, report, stderr } = await importFile(file, "status", "gz.cut.");
    expect({ code, report }).toMatchObject({ code: 1, report: { end: "broken", bad_lines: 0 } });
    expect(stderr).toContain(
      "the gzip data ends too early: it is cut off or still being written; what came before is counted",
    );
    const [[name, counted] = ["", 0]] = await named("gz.cut.");
    expect({ name, counted: counted > 100 && counted < 3000 }).toEqual({ name: "200", counted: true });
    await write("cut.log.gz", data);
    expect(await importFile(file, "status", "gz.cut.")).toMatchObject({ code: 0, report: { counted: 3000 - counted } });
    expect(await named("gz.cut.")).toEqual([["200", 3000]]);
  });
});

/** A table whose first 120 000 bytes are always the same. */
function alike(country: string): string {
  return `id,country\n${"1,AT\n".repeat(24_000)}${`2,${country}\n`.repeat(20_000)}`;
}

describe("a file that takes the place of another", () => {
  const morning = "country,n\n";
  const evening = `${morning}KR,1\nKR,2\nKR,3\nKR,4\nKR,5\n`;
  const nextDay = `${morning}DE,1\nDE,2\nDE,3\nDE,4\nDE,5\nDE,6\nDE,7\nDE,8\n`;

  test.each<[kind: string, ending: string, stored: (text: string) => string | Uint8Array]>([
    ["as it is", "csv", (text) => text],
    ["compressed", "csv.gz", (text) => gzipSync(text)],
  ])("is counted from its beginning although both began with the same header, %s", async (_, ending, stored) => {
    const prefix = `day.${ending}.`;
    const importDay = async (text: string): Promise<Imported> =>
      importFile(await write(`day.${ending}`, stored(text)), "country", prefix);
    expect(await importDay(morning)).toMatchObject({ code: 0, report: { counted: 0 } });
    expect(await importDay(evening)).toMatchObject({ code: 0, report: { counted: 5, offset_start: 10 } });
    expect(await importDay(nextDay)).toMatchObject({ code: 0, report: { counted: 8, offset_start: 0 } });
    expect(await named(prefix)).toEqual([
      ["DE", 8],
      ["KR", 5],
    ]);
    // Each goes on where it was.
    expect(await importDay(`${evening}KR,6\n`)).toMatchObject({ code: 0, report: { counted: 1, offset_start: 35 } });
    expect(await importDay(nextDay)).toMatchObject({ code: 0, report: { counted: 0, lines: 0 } });
    // One that is shorter than what was counted may be the same, cut.
    const cut = await importDay(morning);
    expect(cut).toMatchObject({ code: 1, report: undefined });
    expect(cut.stderr).toMatch(/has 10 bytes, but 40 were counted before: .*; --restart counts it anew\n$/);
    expect(await named(prefix)).toEqual([
      ["DE", 8],
      ["KR", 6],
    ]);
  });

  test("is refused where it differs only behind what names a file, and counted with --restart", async () => {
    const first = await write("long.csv", alike("KR"));
    expect(await importFile(first, "country", "alike.")).toMatchObject({ code: 0, report: { counted: 44_000 } });
    await write("long.csv", `${alike("DE")}3,DE\n`);
    const refused = await importFile(first, "country", "alike.");
    expect(refused).toMatchObject({ code: 1, report: undefined });
    expect(refused.stderr).toMatch(/is not the file that was counted before: .*; --restart counts it anew\n$/);
    expect(await named("alike.")).toEqual([
      ["AT", 24_000],
      ["KR", 20_000],
    ]);
    expect(await importFile(first, "country", "alike.", "--restart")).toMatchObject({ report: { counted: 44_001 } });
    await write("long.csv", `${alike("DE")}3,DE\n4,DE\n`);
    expect(await importFile(first, "country", "alike.")).toMatchObject({ code: 0, report: { counted: 1 } });
  });

  test("is refused by its name, in a stream too", async () => {
    const args = ["counts", "import", "-", "--by", "country", "--prefix", "stream.", "--import-id", "stream", "--json"];
    expect(await muin.begin(args, { stdin: evening }).ended).toMatchObject({ code: 0 });
    const { code, stdout, stderr } = await muin.begin(args, { stdin: nextDay }).ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("--restart counts it anew");
    expect(await muin.begin(args, { stdin: `${evening}AT,1\n` }).ended).toMatchObject({ code: 0 });
    expect(await named("stream.")).toEqual([
      ["AT", 1],
      ["KR", 5],
    ]);
  });
});

describe("the Count of a value", () => {
  test.each<[first: string, second: string, prefix: string]>([
    ["/a/b", "/a-b", "slug."],
    ["/a-b", "/a/b", "gulp."],
  ])("has its name, whatever file came first: %s, %s", async (first, second, prefix) => {
    const [day1, day2] = [
      await write(`${prefix}1.log`, `${request(first)}\n`),
      await write(`${prefix}2.log`, `${request(second)}\n`),
    ];
    expect(await importFile(day1, "path", prefix)).toMatchObject({ code: 0, report: { counted: 1 } });
    expect(await importFile(day2, "path", prefix)).toMatchObject({ code: 0, report: { counted: 1 } });
    expect(await named(prefix)).toEqual([
      ["/a-b", 1],
      ["/a/b", 1],
    ]);
    // Both values in one more file, in both orders, go where they went.
    const both = await write(
      `${prefix}3.log`,
      [second, first, second].map((path) => `${request(path, 404)}\n`).join(""),
    );
    expect(await importFile(both, "path", prefix)).toMatchObject({ code: 0, report: { counted: 3 } });
    const counted = [
      [first, 2],
      [second, 3],
    ] as const;
    expect(await named(prefix)).toEqual(counted.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });

  test("is one of two imports at the same time", async () => {
    const paths = ["/a/b", "/a-b", "/a.b", "/a_b", "/A/b", "/a b"];
    const files = await Promise.all(
      [paths, paths.toReversed()].map((each, place) =>
        write(`twin-${place}.log`, each.map((path) => `${request(path, 200 + place)}\n`).join("")),
      ),
    );
    const imported = await Promise.all(files.map((file) => importFile(file, "path", "twin.")));
    for (const each of imported) expect(each).toMatchObject({ code: 0, report: { counted: 6 } });
    expect(await named("twin.")).toEqual(paths.toSorted().map((path) => [path, 2] as const));
  });

  test("is no Count that has another name; one without a name is given the value's", async () => {
    await muin.run("counts", "create", "taken.tx", "--name", "Texas", "--value", "7");
    await muin.run("counts", "create", "taken.ca", "--value", "7");
    const file = await write("taken.csv", "state\nTX\nCA\nTX\n");
    expect(await importFile(file, "1", "taken.", "--format", "csv")).toMatchObject({ code: 0, report: { counted: 3 } });
    const counted = [
      ["CA", 8],
      ["TX", 2],
      ["Texas", 7],
    ] as const;
    expect(await named("taken.")).toEqual(counted);
    // A later name keeps no import from going on.
    await muin.client(CountManagementService).updateCount({
      countInfo: { countId: "taken.ca", displayName: "California" },
      updateMask: { paths: ["display_name"] },
    });
    await write("taken.csv", "state\nTX\nCA\nTX\nCA\n");
    expect(await importFile(file, "1", "taken.", "--format", "csv")).toMatchObject({ code: 0, report: { counted: 1 } });
    expect(await named("taken.")).toEqual([["California", 9], ...counted.slice(1)]);
  });
});
