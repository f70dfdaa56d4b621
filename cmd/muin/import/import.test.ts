import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { CountImportService } from "../../../internal/gen/muin/count/v1/count_import_service_pb.ts";
import { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { systemClock } from "../../../internal/platform/clock/clock.ts";
import { eventually } from "../../../internal/platform/testing/eventually.ts";
import {
  createMuinFolder,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../../../internal/platform/testing/muin.ts";
import { importMutant } from "../../../internal/platform/testing/mutant.ts";
import * as importer from "./run-import.ts";
import { createServerTarget } from "./server-target.ts";
import { openSource } from "./source.ts";

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

/** The result of a command that must succeed, as JSON. */
async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const [result] = await muin.rows(...args);
  if (result === undefined) throw new Error(`muin ${args.join(" ")} printed nothing`);
  return result;
}

/** Values of all Counts whose ids begin with a prefix. */
async function values(prefix: string): Promise<Record<string, number>> {
  const counts = (await muin.rows("counts", "list", "--prefix", prefix)) as { count_id: string; value: number }[];
  return Object.fromEntries(counts.map(({ count_id, value }) => [count_id.slice(prefix.length), value]));
}

/** Sum of those values. */
async function sum(prefix: string): Promise<number> {
  return Object.values(await values(prefix)).reduce((total, value) => total + value, 0);
}

/** Writes an input file. */
async function write(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder.path, name);
  await Bun.write(path, content);
  return path;
}

/** Lines of an access log as real ones are: "-" requests, quotes, a cut-off agent, garbage; and what they add up to. */
function accessLog(lines: number): {
  readonly text: string;
  readonly statuses: Record<string, number>;
  readonly bad: number;
} {
  const statuses: Record<string, number> = {};
  let bad = 0;
  const rows = Array.from({ length: lines }, (_, index) => {
    if (index % 997 === 5) {
      bad++;
      return `garbage ${index}`;
    }
    const status = index % 11 === 0 ? "404" : index % 501 === 0 ? "500" : "200";
    statuses[status] = (statuses[status] ?? 0) + 1;
    const request = index % 13 === 0 ? "-" : `GET /page/${index % 50}?q=\\"x\\" HTTP/1.1`;
    const agent = index % 17 === 0 ? '"Mozilla/5.0 (cut off' : '"Mozilla/5.0 (X11; Linux x86_64)"';
    return `203.0.113.${index % 250} - - [17/May/2025:10:05:03 +0000] "${request}" ${status} ${index} "-" ${agent}`;
  });
  return { text: `${rows.join("\n")}\n`, statuses, bad };
}

describe("muin counts import", () => {
  const log = accessLog(60_000);

  /** Kills an import of `file` each time its offset has passed one more part, and runs it again, until it ends by itself. */
  async function importWithKills(file: string, prefix: string, importId: string, parts: number): Promise<number> {
    const imports = muin.client(CountImportService);
    const total = Buffer.byteLength(log.text);
    let kills = 0;
    for (let part = 0; part < parts; part++) {
      const run = muin.begin(["counts", "import", file, "--by", "status", "--prefix", prefix, "--import-id", importId]);
      const reached = async (): Promise<boolean> => {
        const known = await imports.getImport({ importId }).catch(() => undefined); // Not begun yet.
        return known !== undefined && Number(known.offset) >= (total * part) / parts && known.sequence > 0n;
      };
      const ended = await Promise.race([
        run.ended,
        (async () => {
          while (!(await reached()));
        })(),
      ]);
      if (ended !== undefined) break;
      await run.kill();
      kills++;
    }
    return kills;
  }

  test("counts each line of a gzip file once although it is killed again and again", async () => {
    const file = await write("killed.log.gz", gzipSync(log.text));
    const kills = await importWithKills(file, "killed.", "killed", 8);
    expect(kills).toBeGreaterThanOrEqual(3);
    const last = await json("counts", "import", file, "--by", "status", "--prefix", "killed.", "--import-id", "killed");
    expect(last).toMatchObject({ end: "finished", offset: Buffer.byteLength(log.text) });
    expect(last["offset_start"]).toBeGreaterThan(0);
    expect(await values("killed.")).toEqual(log.statuses);

    const again = await muin.run(
      "counts",
      "import",
      file,
      "--by",
      "status",
      "--prefix",
      "killed.",
      "--import-id",
      "killed",
    );
    expect(again.code).toBe(0);
    expect(again.stdout).toBe("nothing new: all lines were counted before\n");
    expect(await values("killed.")).toEqual(log.statuses);
    expect((await muin.run("counts", "verify", "--prefix", "killed.")).code).toBe(0);
  });

  test("counts each line once although Muin itself is killed", async () => {
    const file = await write("crash.log", log.text);
    const args = ["counts", "import", file, "--by", "status", "--prefix", "crash."];
    const imports = muin.client(CountImportService);
    const run = muin.begin([...args, "--import-id", "crash"]);
    await eventually(async () => expect((await imports.getImport({ importId: "crash" })).sequence).toBeGreaterThan(0n));
    await muin.kill();
    muin = await startMuin({ folder, args: ["--http-port", new URL(muin.http).port] });
    expect((await run.ended).code).toBe(0); // It waits for Muin to come back.
    expect(await values("crash.")).toEqual(log.statuses);
    expect((await muin.run("counts", "verify", "--prefix", "crash.")).code).toBe(0);
  });

  test("an interrupted one leaves its batch whole and says how to go on", async () => {
    const file = await write("interrupted.log", log.text);
    const args = ["counts", "import", file, "--by", "status", "--prefix", "interrupted."];
    const run = muin.begin(args);
    await run.shows("format: access log");
    run.signal("SIGINT");
    const { code, stderr } = await run.ended;
    if (code !== 0) {
      expect(code).toBe(130);
      expect(stderr).toContain("run the same command again to go on");
    }
    const last = await json(...args);
    expect(last).toMatchObject({ end: "finished" });
    expect(await values("interrupted.")).toEqual(log.statuses);
  });

  test("a mutant that forgets where it was is caught", async () => {
    const mutant = await importMutant<typeof importer>(
      join(import.meta.dir, "run-import.ts"),
      "readOn(source, position, tail)",
      "source.read(0)",
    );
    const file = await write("mutant.log", log.text);
    const imports = muin.client(CountImportService);
    const management = muin.client(CountManagementService);
    const once = async (runImport: typeof importer.runImport): Promise<void> => {
      await runImport(
        {
          format: "access",
          by: ["status"],
          prefix: "mutant.",
          header: true,
          final: false,
          importId: "",
          restart: false,
        },
        {
          source: await openSource(file),
          target: createServerTarget(imports, management, (call) => call()),
          clock: systemClock,
          signal: new AbortController().signal,
          onStart: () => undefined,
          onBatch: () => undefined,
        },
      );
    };
    await once(importer.runImport);
    await once(importer.runImport);
    expect(await values("mutant.")).toEqual(log.statuses);
    await once(mutant.runImport);
    expect(await values("mutant.")).not.toEqual(log.statuses);
  });

  test("counts what a growing file gained, an unterminated last line with --final only, all of it with --restart", async () => {
    const lines = accessLog(900).text;
    const cut = lines.length - 30;
    const file = await write("grow.log", lines.slice(0, cut));
    const args = ["counts", "import", file, "--by", "status", "--prefix", "grow."];
    expect(await json(...args)).toMatchObject({ end: "unterminated", counted: 898, lines: 899, bad_lines: 1 });
    expect(await sum("grow.")).toBe(898);
    await Bun.write(file, lines);
    expect(await json(...args)).toMatchObject({ end: "finished", counted: 1, lines: 1 });
    await Bun.write(file, lines + lines.slice(0, 80));
    expect(await json(...args)).toMatchObject({ end: "unterminated", counted: 0 });
    expect(await json(...args, "--final")).toMatchObject({ end: "finished", lines: 1 });
    expect(await json(...args, "--final")).toMatchObject({ end: "finished", lines: 0 });
    const before = await sum("grow.");
    expect(await json(...args, "--restart", "--final")).toMatchObject({ offset_start: 0, lines: 901 });
    expect(await sum("grow.")).toBe(2 * before);
    // A file is known again by its first 64 KiB.
    await Bun.write(file, lines.slice(0, 70_000));
    const shorter = await muin.run(...args);
    expect(shorter.code).toBe(1);
    expect(shorter.stderr).toContain("not the same file");
  });

  test("reads tables, JSON lines and standard input; ids keep their owner from run to run", async () => {
    const table = 'id,state\n1,TX\n2,tx\n3,"New\nYork"\n4\n5,TX\n';
    const file = await write("table.csv", table);
    const args = ["counts", "import", file, "--by", "state", "--prefix", "state."];
    const first = await json(...args);
    expect(first).toMatchObject({ format: "csv", counted: 4, bad_lines: 1, bad: [{ line: 6 }] });
    await Bun.write(file, `${table}6,tx\n7,TX\n`);
    expect(await json(...args)).toMatchObject({ counted: 2 });
    const counted = await values("state.");
    const suffixed = Object.keys(counted).find((id) => /^tx-[0-9a-f]{6}$/.test(id)) ?? "";
    const broken = Object.keys(counted).find((id) => /^new-york-[0-9a-f]{32}$/.test(id)) ?? "";
    expect(counted).toEqual({ tx: 3, [suffixed]: 2, [broken]: 1 });
    const { stdout } = await muin.run("counts", "list", "--prefix", "state.tx", "--json");
    expect(stdout).toContain('"display_name":"TX"');
    expect(stdout).toContain('"display_name":"tx"');

    const stdin = '{"user":{"plan":"Pro"},"ok":true}\n{"user":{"plan":"Pro"},"ok":false}\nnope\n';
    const piped = [
      "counts",
      "import",
      "-",
      "--by",
      "user.plan",
      "--by",
      "ok",
      "--prefix",
      "plan.",
      "--import-id",
      "plans",
      "--json",
    ];
    for (const counts of [{ "plan.pro.true": 1, "plan.pro.false": 1 }, {}]) {
      const { code, stdout } = await muin.begin(piped, { stdin }).ended;
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ counts });
    }
    expect(await values("plan.")).toEqual({ "pro.true": 1, "pro.false": 1 });
  });

  test("a dry run tells what would be counted and changes nothing", async () => {
    const file = await write("dry.log.gz", gzipSync(log.text));
    const { code, stdout } = await muin.run(
      "counts",
      "import",
      file,
      "--by",
      "status",
      "--prefix",
      "dry.",
      "--dry-run",
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/^would count [\d ]+ of 60 000 lines into 3 Counts in /);
    expect(stdout).toContain(`${log.bad} bad lines:`);
    expect(stdout).toContain('  line 6: not a line of an access log: "garbage 5"');
    expect(await values("dry.")).toEqual({});
  });

  test("several batches of many values keep the sum equal to the events", async () => {
    const rows = Array.from({ length: 2020 }, (_, index) => `${index % 1010},x`).join("\n");
    const file = await write("many.csv", `${rows}\n`);
    const result = await json("counts", "import", file, "--by", "1", "--no-header", "--prefix", "many.");
    expect(result).toMatchObject({ counted: 2020, end: "finished" });
    const counted = await values("many.");
    expect(Object.keys(counted)).toHaveLength(1010);
    expect(new Set(Object.values(counted))).toEqual(new Set([2]));
    expect((await muin.run("counts", "verify", "--wait", "20s")).code).toBe(0);
  });
});
