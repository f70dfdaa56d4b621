import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compile, threadsOfSources } from "./compile.ts";

/** A binary is compiled. */
setDefaultTimeout(60_000);

const probe = resolve(import.meta.dir, "../platform/lifecycle/testdata/threads");
const main = join(probe, "main.ts");
const thread = join(probe, "probe-thread.ts");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muin-compile-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What a program prints, started where no sources are. */
async function printed(command: readonly string[]): Promise<unknown> {
  const child = Bun.spawn([...command], { cwd: folder, env: {}, stdio: ["ignore", "pipe", "inherit"] });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return JSON.parse(text);
}

test("a program's threads run in its binary as they do from sources, WebAssembly and common memory included", async () => {
  const expected = { replies: [{ kind: "sum", sum: 42 }, { kind: "filled" }], shared: [7, 7, 7, 7] };
  expect(await printed([process.execPath, main])).toEqual(expected);
  const outfile = join(folder, "probe");
  await compile({ main, threads: [thread], outfile });
  expect(await printed([outfile])).toEqual(expected);
});

test("two threads of one name cannot be part of one binary", async () => {
  const twice = compile({ main, threads: [thread, join("/elsewhere", "probe-thread.ts")], outfile: join(folder, "x") });
  expect(await twice.catch(String)).toContain("two threads are called probe-thread.ts");
});

test("what tests alone start is in no binary", async () => {
  expect((await threadsOfSources()).filter((file) => file.includes("/testdata/"))).toEqual([]);
});
