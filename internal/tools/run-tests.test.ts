import { describe, expect, test } from "bun:test";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../platform/testing/eventually.ts";

const script = join(import.meta.dir, "run-tests.ts");
const start = join(import.meta.dir, "../../cmd/muin/start.sh");
const imports = `import { expect, test } from "bun:test"; import { appendFileSync, existsSync, writeFileSync } from "node:fs";
const until = async (file) => { while (!existsSync(file)) await new Promise((go) => setTimeout(go, 5)); };\n`;

/** A folder with test files, by name. */
async function folderWith(files: Readonly<Record<string, string>>): Promise<{ path: string } & AsyncDisposable> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "muin-suite-")));
  for (const [name, content] of Object.entries(files)) await Bun.write(join(path, name), imports + content);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Begins a run in a folder, as on a developer's machine. */
function begin(folder: string, options: readonly string[]): Bun.Subprocess<"ignore", "pipe", "ignore"> {
  const env = { ...process.env };
  delete env["CI"];
  return Bun.spawn([process.execPath, script, ...options], { cwd: folder, stdio: ["ignore", "pipe", "ignore"], env });
}

/** Runs the test files in a folder of their own; returns the exit code, the output and its last line. */
async function run(
  files: Readonly<Record<string, string>>,
  ...options: string[]
): Promise<{ code: number; output: string; last: string }> {
  await using folder = await folderWith(files);
  return await outcomeOf(begin(folder.path, options));
}

async function outcomeOf(
  child: Bun.Subprocess<"ignore", "pipe", "ignore">,
): Promise<{ code: number; output: string; last: string }> {
  const output = await new Response(child.stdout).text();
  return { code: await child.exited, output, last: output.trim().split("\n").at(-1) ?? "" };
}

/** Two tests, each of which waits for what its counterpart in the other file does. */
function waiting(own: string, other: string): string {
  return `
    test("${own} first", async () => { console.log("in ${own}"); writeFileSync("${own}", ""); await until("${other}"); });
    test("${own} last", async () => { writeFileSync("${own}2", ""); await until("${other}2"); });`;
}

function isAlive(pid: number): boolean {
  return Bun.spawnSync(["kill", "-0", `${pid}`], { stderr: "ignore" }).success;
}

describe("npm test", () => {
  test.each([
    {
      what: "passes",
      content: `test("a", () => {}); test("b", () => {}); test.skip("c", () => {});`,
      code: 0,
      last: "2 passed, 0 failed, 1 skipped",
    },
    {
      what: "fails",
      content: `test("a", () => {}); test("b", () => { expect(1).toBe(2); });`,
      code: 1,
      last: "1 passed, 1 failed, 0 skipped",
    },
    {
      what: "does not load",
      content: `test("a", () => {}); throw new Error("broken");`,
      code: 1,
      last: "0 passed, 1 failed, 0 skipped",
    },
    { what: "has no test", content: "", code: 1, last: "0 passed, 0 failed, 0 skipped" },
    {
      what: "ends its process",
      content: `test("a", () => { process.exit(0); });`,
      code: 1,
      last: "0 passed, 1 failed, 0 skipped",
    },
  ])("a suite that $what ends with its counts, beside another file and alone", async ({ content, code, last }) => {
    const alone = await run({ "some.test.ts": content });
    expect({ code: alone.code, last: alone.last }).toEqual({ code, last });
    const both = await run({ "some.test.ts": content, "other.test.ts": `test("d", () => {});` });
    const more = last.replace(/^\d+/, (passed) => `${Number(passed) + 1}`);
    expect({ code: both.code, last: both.last }).toEqual({ code: more.includes(" 0 failed") ? 0 : 1, last: more });
  });

  test("a filter chooses tests by name, a path chooses files", async () => {
    const files = {
      "some.test.ts": `test("red", () => {}); test("blue", () => { expect(1).toBe(2); });`,
      "other.test.ts": `test("green", () => {});`,
    };
    expect((await run(files, "--filter", "red")).last).toBe("1 passed, 0 failed, 0 skipped");
    expect((await run(files, "--filter=blue")).last).toBe("0 passed, 1 failed, 0 skipped");
    expect((await run(files, "./other.test.ts")).last).toBe("1 passed, 0 failed, 0 skipped");
    expect((await run(files, "another.test.ts")).last).toBe("0 passed, 0 failed, 0 skipped");
  });

  test("files run side by side, and the output of each is printed whole", async () => {
    const { output } = await run({ "a.test.ts": waiting("a", "b"), "b.test.ts": waiting("b", "a") });
    for (const own of ["a", "b"]) {
      const whole = String.raw`\n${own}\.test\.ts:\nin ${own}\n\(pass\) ${own} first.*\n\(pass\) ${own} last.*\n`;
      expect(output).toMatch(new RegExp(whole));
    }
  });

  test("its end tells the slowest files, what was skipped and why, and again what failed", async () => {
    const { output } = await run({
      "slow.test.ts": `test("waits", async () => { await new Promise((go) => setTimeout(go, 300)); });`,
      "some.test.ts": `test.skip("flies (skipped without wings)", () => {});
        test("falls", () => { console.log("falling"); expect(1).toBe(2); });`,
    });
    const end = output.slice(output.indexOf("slowest files:"));
    expect(end).toMatch(/^slowest files:\n +0\.\d s {2}slow\.test\.ts\n +0\.\d s {2}some\.test\.ts\n/);
    expect(end).toContain("skipped:\n  some.test.ts: flies (skipped without wings)\n");
    // What a worker says of its last test may come after the result, where the file's end stands: it is printed all the same.
    expect(end).toMatch(/failed:\n\nsome\.test\.ts:\n[^]*\(fail\) falls/);
    expect(output).toMatch(/falling\n[^]*Received: 1\n/);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s ends all of its processes", async (signal) => {
    const endless = `test("waits", async () => { appendFileSync("pids", process.pid + " "); await until("never"); });`;
    await using folder = await folderWith({ "a.test.ts": endless, "b.test.ts": endless });
    const child = begin(folder.path, []);
    const pids = await eventually(async () => {
      const seen = (await Bun.file(join(folder.path, "pids")).text()).trim().split(" ");
      expect(seen).toHaveLength(2);
      return seen.map(Number);
    });
    child.kill(signal);
    expect((await outcomeOf(child)).code).toBe(130);
    await eventually(() => expect(pids.filter(isAlive)).toEqual([]));
  });

  test.skipIf(Bun.which("git") === null)(
    "mutants run where a file was touched, with --all, and in CI (skipped without git)",
    async () => {
      await using folder = await folderWith({
        "rule.ts": "",
        "touched.test.ts": `const at = "rule.ts"; test("rule", () => {}); test("mutant: rule", () => {});`,
        "other.test.ts": `test("law", () => {}); test("mutant: law", () => {});`,
      });
      const git = ["git", "-C", folder.path, "-c", "user.name=a", "-c", "user.email=a@localhost"];
      for (const args of [
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-q", "-m", "all"],
      ]) {
        expect(Bun.spawnSync([...git, ...args]).exitCode).toBe(0);
      }
      const outcome = async (...args: string[]): Promise<string> => (await outcomeOf(begin(folder.path, args))).last;
      expect(await outcome()).toBe("2 passed, 0 failed, 0 skipped");
      await Bun.write(join(folder.path, "rule.ts"), "export {};");
      expect(await outcome()).toBe("3 passed, 0 failed, 0 skipped");
      expect(await outcome("--all")).toBe("4 passed, 0 failed, 0 skipped");
      expect(await outcome("other")).toBe("2 passed, 0 failed, 0 skipped");
      const inCi = Bun.spawn([process.execPath, script], {
        cwd: folder.path,
        stdio: ["ignore", "pipe", "ignore"],
        env: { ...process.env, CI: "true" },
      });
      expect((await outcomeOf(inCi)).last).toBe("4 passed, 0 failed, 0 skipped");
    },
  );
});

describe("start.sh", () => {
  test("runs with the pinned Bun from anywhere, without one on PATH, and prints nothing of its own", async () => {
    const folder = await mkdtemp(join(tmpdir(), "muin-start-"));
    try {
      const file = join(folder, "print.ts");
      await Bun.write(file, `console.log(JSON.stringify([Bun.version, process.argv.slice(2)]));`);
      const child = Bun.spawn(["sh", start, "--run", file, "a b", "--json"], {
        cwd: folder,
        env: { PATH: "/usr/bin:/bin", HOME: folder },
        stdio: ["ignore", "pipe", "ignore"],
      });
      const output = await new Response(child.stdout).text();
      expect(await child.exited).toBe(0);
      expect(JSON.parse(output)).toEqual([Bun.version, ["a b", "--json"]]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
