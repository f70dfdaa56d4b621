import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../../internal/platform/clock/random.ts";
import { runProgram } from "../program.ts";
import { createOutput, type OutputStream } from "../terminal/output.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muin-formats-"));
});
afterAll(() => rm(folder, { recursive: true }));

interface Report {
  readonly format: string;
  readonly counted: number;
  readonly bad: readonly { readonly line: number; readonly why: string }[];
  readonly counts: Readonly<Record<string, number>>;
}

/** What `muin counts import --dry-run` says of a file with this content, whose characters are bytes of UTF-8, or of Latin-1 if asked for. */
async function imported(
  content: string,
  by: string,
  args: readonly string[],
  encoding: "utf8" | "latin1",
): Promise<{ readonly code: number; readonly report: Report | undefined; readonly stderr: string }> {
  const file = join(folder, "input");
  await Bun.write(file, Buffer.from(content, encoding));
  let stdout = "";
  let stderr = "";
  const out: OutputStream = { write: (text) => (stdout += text) !== "" };
  const err: OutputStream = { write: (text) => (stderr += text) !== "" };
  const code = await runProgram(
    {
      env: {},
      output: createOutput(out, err, false),
      clock: systemClock,
      random: systemRandom,
      stdin: new ReadableStream(),
      signal: () => new AbortController().signal,
    },
    ["counts", "import", file, "--dry-run", "--json", ...by.split(" ").flatMap((each) => ["--by", each]), ...args],
  );
  return { code, report: stdout === "" ? undefined : (JSON.parse(stdout) as Report), stderr };
}

const at = "[29/Nov/2026:12:00:01 +0000]";
const tail = '200 5 "-" "c"';

interface Case {
  readonly name: string;
  readonly content: string;
  readonly encoding?: "latin1";
  readonly by: string;
  readonly args?: readonly string[];
  readonly format: string;
  /** What is counted, by count_id. */
  readonly counts: Readonly<Record<string, number>>;
  /** Numbers of bad lines. */
  readonly bad?: readonly number[];
}

const vhosts =
  `shop.example:443 192.0.2.7 - - ${at} "GET /a HTTP/1.1" ${tail}\n` +
  `shop.example:443 192.0.2.8 - - ${at} "GET /b HTTP/1.1" ${tail}\n` +
  `blog.example 2001:db8::1 - ada ${at} "GET /c HTTP/1.1" 404 5 "-" "c"\n`;

const accessLogs: readonly Case[] = [
  {
    name: "virtual hosts",
    content: vhosts,
    by: "host",
    format: "vhost_combined",
    counts: { "192.0.2.7": 1, "192.0.2.8": 1, "2001-db8-1": 1 },
  },
  {
    name: "virtual hosts, by them",
    content: vhosts,
    by: "vhost port",
    format: "vhost_combined",
    counts: { "shop.example.443": 2, "blog.example.empty": 1 },
  },
  {
    name: "virtual hosts of which the format says nothing",
    content: vhosts,
    by: "host",
    args: ["--format", "access"],
    format: "access",
    counts: {},
    bad: [1, 2, 3],
  },
  {
    name: "a virtual host before the common format",
    content: `www.example.org 192.0.2.9 - ada ${at} "GET / HTTP/1.0" 301 368\n`,
    by: "host user",
    format: "vhost_combined",
    counts: { "192.0.2.9.ada": 1 },
  },
  {
    name: "a line without a virtual host among those with one",
    content: `${vhosts}192.0.2.7 - - ${at} "GET / HTTP/1.1" ${tail}\n192.0.2.7 - Ann Lee ${at} "GET / HTTP/1.1" ${tail}\n`,
    by: "vhost",
    format: "vhost_combined",
    counts: { "shop.example": 2, "blog.example": 1 },
    bad: [4, 5],
  },
  {
    name: "double blanks",
    content:
      `192.0.2.7 -  -  ${at} "GET /a HTTP/1.1" ${tail}\n192.0.2.7 - -  ${at} "GET /a HTTP/1.1" ${tail}\n` +
      `192.0.2.7  - - ${at} "GET /a HTTP/1.1" ${tail}\n192.0.2.7 - - ${at} "GET /a HTTP/1.1" ${tail}\n`,
    by: "user",
    format: "access",
    counts: { empty: 1 },
    bad: [1, 2, 3],
  },
  {
    name: "two addresses where the client stands",
    content: `192.0.2.7, 198.51.100.3 - - ${at} "GET / HTTP/1.1" ${tail}\n192.0.2.8 - - ${at} "GET / HTTP/1.1" ${tail}\n`,
    by: "host",
    format: "access",
    counts: { "192.0.2.8": 1 },
    bad: [1],
  },
  {
    name: "an empty user",
    content: `192.0.2.7 - "" ${at} "GET / HTTP/1.1" ${tail}\n192.0.2.7 - - ${at} "GET / HTTP/1.1" ${tail}\n`,
    by: "user",
    format: "access",
    counts: { empty: 2 },
  },
  {
    name: "a referer without quotes",
    content: `192.0.2.7 - - ${at} "GET / HTTP/1.1" - 34 - "Mozilla/5.0"\n192.0.2.7 - - ${at} "GET / HTTP/1.1" 200 34 "-" "Mozilla/5.0"\n`,
    by: "referer agent",
    format: "access",
    counts: { "empty.mozilla-5.0": 2 },
  },
  {
    name: "quotes that nobody escaped",
    content:
      `192.0.2.7 - - ${at} "GET /s?q="x" HTTP/1.1" 403 243 "ref "er" end" "app/7"\n` +
      `192.0.2.7 - - ${at} "GET /ok HTTP/1.1" 200 8 "-" "Tab 10\\" Build"\n` +
      `192.0.2.7 - - ${at} "GET /ok HTTP/1.1" 200 8 "-" "a"b" 200 9"\n` +
      `192.0.2.7 - - ${at} "GET /end\\\\" 200 8 "-" "c"\n`,
    by: "status referer agent",
    format: "access",
    counts: {
      "403.ref-er-end.app-7": 1,
      "200.empty.tab-10-build": 1,
      "200.empty.a-b-200-9": 1,
      "200.empty.c": 1,
    },
  },
  {
    name: "quotes of which nobody knows whose they are",
    content: `192.0.2.7 - - ${at} "GET / HTTP/1.1" 200 8 "a" "b" c"d" e\n192.0.2.7 - - ${at} "GET / HTTP/1.1" 200 8 0.1 "a" "b"\n`,
    by: "agent",
    args: ["--format", "access"],
    format: "access",
    counts: {},
    bad: [1, 2],
  },
  {
    name: "users with spaces, addresses of IPv6 and zones",
    content:
      `192.0.2.7 - John Doe ${at} "GET / HTTP/1.1" ${tail}\n::1 - - ${at} "GET / HTTP/1.1" ${tail}\n` +
      `fe80::1%eth0 unix user ${at} "GET / HTTP/1.1" ${tail}\nunix: - - ${at} "GET / HTTP/1.1" ${tail}\n`,
    by: "host user",
    format: "access",
    counts: { "192.0.2.7.john-doe": 1, "1.empty": 1, "fe80-1-eth0.user": 1, "unix.empty": 1 },
  },
  {
    name: "a byte order mark, CR LF and a time in ISO 8601",
    content: `\uFEFF192.0.2.7 - - [2026-11-29T12:00:00+00:00] "GET /a HTTP/1.1" ${tail}\r\n192.0.2.7 - - ${at} "GET /b HTTP/1.1" ${tail}\r\n`,
    by: "host agent",
    format: "access",
    counts: { "192.0.2.7.c": 2 },
  },
  {
    name: "requests that are none",
    content:
      `192.0.2.7 - - ${at} "-" 408 - "-" "-"\n192.0.2.7 - - ${at} "\\x16\\x03\\x01" 400 226 "-" "-"\n` +
      `192.0.2.7 - - ${at} "G" 408 0 "-" "-"\n192.0.2.7 - b.von.x@example.org ${at} "GET /\\x86b HTTP/1.1" 207 - "-" "c"\n`,
    by: "status path",
    format: "access",
    counts: { "408.empty": 2, "400.empty": 1, "207.x86b": 1 },
  },
];

const tables: readonly Case[] = [
  {
    name: "a byte order mark before a quoted name",
    content: '\uFEFF"country","city"\n"KR","Seoul"\n"DE","Berlin"\n',
    by: "country",
    format: "csv",
    counts: { kr: 1, de: 1 },
  },
  {
    name: "a byte order mark before a quoted field of two lines",
    content: '\uFEFF"Seoul\nGangnam",KR\nBerlin,DE\n',
    by: "2",
    args: ["--no-header", "--format", "csv"],
    format: "csv",
    counts: { kr: 1, de: 1 },
  },
  {
    name: "semicolons",
    content: "land;betrag\nDE;1,50\nAT;2,50\n",
    by: "betrag",
    format: "csv",
    counts: { "1-50": 1, "2-50": 1 },
  },
  {
    name: "semicolons behind quotes, without a header",
    content: '"DE";"1,50"\n"AT";"2,50;3"\n',
    by: "2",
    args: ["--no-header"],
    format: "csv",
    counts: { "1-50": 1, "2-50-3": 1 },
  },
  {
    name: "semicolons, and a comma in a name",
    content: "land;betrag (EUR, brutto)\nDE;1,50\nAT;2,50\n",
    by: "2",
    format: "csv",
    counts: { "1-50": 1, "2-50": 1 },
  },
  {
    name: "commas, and semicolons in a name",
    content: "id,a;b;c;d\n1,x\n2,y\n",
    by: "id",
    format: "csv",
    counts: { "1": 1, "2": 1 },
  },
  {
    name: "a separator in the first line, with a header",
    content: "sep=,\ncountry,n;m\nKR,1\nDE,2\n",
    by: "country",
    format: "csv",
    counts: { kr: 1, de: 1 },
  },
  {
    name: "another separator in the first line, without a header",
    content: "\uFEFFsep=|\r\nKR|1,5\r\nDE|2,5\r\n",
    by: "2",
    args: ["--no-header"],
    format: "csv",
    counts: { "1-5": 1, "2-5": 1 },
  },
  {
    name: "a separator in a first line of capitals",
    content: "SEP=;\r\nland;n,m\r\nDE;1\r\n",
    by: "land",
    format: "csv",
    counts: { de: 1 },
  },
  {
    name: "a separator in a first line in quotes",
    content: '"sep=;"\nland;n,m\nDE;1\n',
    by: "land",
    format: "csv",
    counts: { de: 1 },
  },
  {
    name: "a name that stands twice, by number",
    content: "id,id,name\n1,2,Ada\n3,4,Bob\n",
    by: "2",
    format: "csv",
    counts: { "2": 1, "4": 1 },
  },
  {
    name: "quotes that do not match",
    content: '1,"C" St,7\n2,E Barnett Rd,7\n3,6\'5",8\n',
    by: "3",
    args: ["--no-header"],
    format: "csv",
    counts: { "7": 1 },
    bad: [1, 3],
  },
  {
    name: "bytes that are no UTF-8, in another column",
    content: "name,place\nx,caf\u00e9\ny,37\u009e36'\n",
    encoding: "latin1",
    by: "name",
    format: "csv",
    counts: { x: 1, y: 1 },
  },
  {
    name: "too few columns, and too many",
    content: "a,b,c\n1,2\n1,2,3,4\n1,2,3\n1,2,3,,\n",
    by: "c",
    format: "csv",
    counts: { "3": 2 },
    bad: [2, 3],
  },
  { name: "a row of commas", content: "a,b,c\n,,\n1,,3\n\n", by: "a", format: "csv", counts: { empty: 1, "1": 1 } },
  {
    name: "a row of tabs",
    content: "a\tb\tc\n\t\t\n1\t\t3\n\n",
    by: "a",
    format: "tsv",
    counts: { empty: 1, "1": 1 },
  },
  {
    name: "spaces behind commas",
    content: "country, city\nKR, Seoul\n",
    by: "city",
    format: "csv",
    counts: { seoul: 1 },
  },
  {
    name: "a quote that never closes",
    content: '1,"never closed\n2,x\n3,y\n',
    by: "1",
    args: ["--no-header", "--final"],
    format: "csv",
    counts: { "2": 1, "3": 1 },
    bad: [1],
  },
  {
    name: "quotes in a TSV",
    content: 'k\tv\n1\t"half\n2\t3" pipe\n3\ty\n4\t"whole ""one"""\n',
    by: "v",
    format: "tsv",
    counts: { half: 1, "3-pipe": 1, y: 1, "whole-one": 1 },
  },
  {
    name: "a tab in quotes, and one behind a quote that never closes",
    content: 'k\tv\tn\n1\t"a\tb"\tx\n2\t"a\ty\n',
    by: "n",
    format: "tsv",
    counts: { x: 1, y: 1 },
  },
];

const json: readonly Case[] = [
  {
    name: "a byte order mark",
    content: '\uFEFF{"s":200}\n{"s":404}\n',
    by: "s",
    format: "json",
    counts: { "200": 1, "404": 1 },
  },
  {
    name: "whole numbers beyond a double",
    content: '{"id":9196877626998784}\n{"id":9196877626998785}\n{"id":15793596764604416}\n{"id":15793596764604417}\n',
    by: "id",
    format: "json",
    counts: { "9196877626998784": 1, "9196877626998785": 1, "15793596764604416": 1, "15793596764604417": 1 },
  },
  {
    name: "decimals beyond a double, and forms of one number",
    content: [
      "1.10",
      "1.1",
      "11e-1",
      "100000000000000000000.5",
      "100000000000000000000.4",
      "0.1",
      "0.1000000000000000055",
      "9007199254740991",
      "9007199254740991.4",
      "1E400",
      "1e500",
      "-0",
      "0.0",
    ]
      .map((number) => `{"n":${number}}\n`)
      .join(""),
    by: "n",
    format: "json",
    counts: {
      "1.1": 3,
      "100000000000000000000.5": 1,
      "100000000000000000000.4": 1,
      "0.1": 1,
      "0.1000000000000000055": 1,
      "9007199254740991": 1,
      "9007199254740991.4": 1,
      "1e400": 1,
      "1e500": 1,
      "0": 2,
    },
  },
  {
    name: "lines that are no JSON",
    content: '{"s":1,"s":2}\n{"s":"\\ud800"}\n{"s":3},\n{"s":null}\n{"s":""}\n{"s":true}\n{"s":NaN}\n{"s":"2"}\n',
    by: "s",
    format: "json",
    counts: { "2": 2, empty: 2, true: 1 },
    bad: [2, 3, 7],
  },
  {
    name: "depth without end",
    content: `{"s":2}\n${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}\n${"[".repeat(100_000)}\n`,
    by: "s",
    format: "json",
    counts: { "2": 1 },
    bad: [2, 3],
  },
  {
    name: "names that objects have by themselves",
    content: '{"__proto__":{"s":"p"}}\n{"s":"own"}\n{"__proto__":{"toString":1}}\n',
    by: "__proto__.s",
    format: "json",
    counts: { p: 1 },
    bad: [2, 3],
  },
  {
    name: "a name with a dot",
    content: '{"user.plan":"a"}\n{"user":{"plan":"b"}}\n',
    by: "['user.plan']",
    format: "json",
    counts: { a: 1 },
    bad: [2],
  },
  {
    name: "arrays, one on each line",
    content: "[1,2]\n[3,4]\n",
    by: "[1]",
    args: ["--format", "json"],
    format: "json",
    counts: { "2": 1, "4": 1 },
  },
];

describe.each([
  ["an access log", accessLogs],
  ["a table", tables],
  ["JSON lines", json],
] as const)("%s", (_, cases) => {
  test.each(cases.map((each) => [each.name, each] as const))("with %s", async (_name, each) => {
    const { content, encoding = "utf8", by, args = [], format, counts, bad = [] } = each;
    const { code, report, stderr } = await imported(content, by, args, encoding);
    expect({
      stderr,
      code,
      format: report?.format,
      counts: report?.counts,
      bad: report?.bad.map(({ line }) => line),
    }).toEqual({
      stderr: args.includes("--format")
        ? ""
        : `format: ${format === "access" ? "access log" : format}, told by the content\n`,
      code: 0,
      format,
      counts,
      bad: [...bad],
    });
    expect(report?.counted).toBe(Object.values(counts).reduce((sum, value) => sum + value, 0));
  });
});

describe("is refused and named", () => {
  test.each([
    [
      "one JSON array",
      '[{"s":200,"x":1},\n{"s":404,"x":2}]\n',
      "s",
      "it is one JSON array and not a value on each line",
    ],
    ["an array, a value on each line", '[\n{"s":200},\n{"s":404}\n]\n', "s", "it is one JSON array"],
    ["JSON over several lines", '{\n  "s": 200\n}\n{\n  "s": 404\n}\n', "s", "its JSON values go over several lines"],
    ["JSON that goes on behind its first line", '{"s": 200,\n "x": 1}\n', "s", "its JSON values go over several lines"],
    [
      "a name that stands twice",
      "id,id,name\n1,2,Ada\n",
      "id",
      'several columns are named "id"; say which by its number: 1 and 2',
    ],
    [
      "a name that is not there",
      "land;betrag\nDE;1,50\n",
      "city",
      'there is no column "city"; there are "land", "betrag"',
    ],
    ["UTF-16", "\u00ff\u00fec\0o\0", "c", "is UTF-16: convert it to UTF-8"],
  ])("%s", async (_, content, by, words) => {
    const { code, report, stderr } = await imported(content, by, [], content.startsWith("\u00ff") ? "latin1" : "utf8");
    expect({ report, refused: code !== 0 }).toEqual({ report: undefined, refused: true });
    expect(stderr).toContain(words);
  });
});
