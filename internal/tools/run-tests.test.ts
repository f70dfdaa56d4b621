import { describe, expect, test } from "bun:test";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const script = join(import.meta.dir, "run-tests.ts");
const start = join(import.meta.dir, "../../cmd/muin/start.sh");
const imports = `import { expect, test } from "bun:test";\n`;

/** Runs the suite in a folder with just this test file; returns its exit code and the last line of its output. */
async function run(content: string, ...options: string[]): Promise<{ code: number; last: string }> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "muin-suite-")));
  try {
    await Bun.write(join(folder, "some.test.ts"), content);
    const child = Bun.spawn([process.execPath, script, ...options], {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const output = await new Response(child.stdout).text();
    return { code: await child.exited, last: output.trim().split("\n").at(-1) ?? "" };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
  ])("a suite that $what ends with its counts", async ({ content, code, last }) => {
    expect(await run(imports + content)).toEqual({ code, last });
  });

  test("a filter chooses tests by name", async () => {
    const { last } = await run(
      `${imports}test("red", () => {}); test("blue", () => { expect(1).toBe(2); });`,
      "--filter",
      "red",
    );
    expect(last).toStartWith("1 passed, 0 failed");
  });
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
