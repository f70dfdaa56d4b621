import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Glob } from "bun";
import { startMuin } from "../platform/testing/muin.ts";

/** A checkout is copied, checked and run. */
setDefaultTimeout(120_000);

const root = resolve(import.meta.dir, "../..");
/** What a service called "greeter" brings: its folder, its protos and its main. Kept as text, so that no check takes it for ours. */
const brought = join(import.meta.dir, "testdata/new-service");
const catalogFile = "internal/catalog.ts";

let copy: string;
let added: readonly string[];

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "muin-new-service-"));
  const listed = (await output(["git", "ls-files", "-co", "--exclude-standard"], root)).split("\n").filter(Boolean);
  for (const file of listed) {
    if (!(await Bun.file(join(root, file)).exists())) continue; // Removed and not committed yet.
    await mkdir(dirname(join(copy, file)), { recursive: true });
    await cp(join(root, file), join(copy, file));
  }
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
  await output(["git", "init", "--quiet"], copy);
  await output(["git", "add", "."], copy);

  const files = (await Array.fromAsync(new Glob("**/*").scan({ cwd: brought }))).toSorted();
  added = files.map((file) => file.replace(/\.txt$/, ""));
  for (const [index, file] of files.entries()) {
    await mkdir(dirname(join(copy, added[index]!)), { recursive: true });
    await cp(join(brought, file), join(copy, added[index]!));
  }
  const catalog = await readFile(join(copy, catalogFile), "utf8");
  await writeFile(
    join(copy, catalogFile),
    `import { greeter } from "./operations/greeter/definition.ts";\n${catalog.replace(/,?\s*\];\s*$/, ", greeter];\n")}`,
  );
});
afterAll(() => rm(copy, { recursive: true }));

/** Runs a program to its end and returns what it printed; fails the test with all of it unless it exits with 0. */
async function output(command: readonly string[], cwd: string): Promise<string> {
  const env = { ...process.env, CI: "false", PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` };
  const child = Bun.spawn([...command], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = await Promise.all([child.stdout, child.stderr].map((stream) => new Response(stream).text()));
  const code = await child.exited;
  expect({ command, code, said: code === 0 ? "" : `${out ?? ""}\n${err ?? ""}`.slice(-4000) }).toEqual({
    command,
    code: 0,
    said: "",
  });
  return out ?? "";
}

test("a service is its folder, its protos, its main and its line in the catalogue", async () => {
  await output(["bun", "run", "generate"], copy);
  const changed = (await output(["git", "diff", "--name-only"], copy)).split("\n").filter(Boolean);
  // What is generated follows from the protos and the tables of errors.
  expect(changed.filter((file) => !file.startsWith("internal/gen/"))).toEqual(["cmd/muin/ERRORS.md", catalogFile]);
  const untracked = (await output(["git", "ls-files", "-o", "--exclude-standard"], copy)).split("\n").filter(Boolean);
  expect(untracked.filter((file) => !file.startsWith("internal/gen/")).toSorted()).toEqual([...added]);
});

test.each([["types"], ["lint"], ["layers"], ["unused"]])("nothing else had to change for %s", async (check) => {
  await output(["bun", "run", check], copy);
});

test("it is started, given its database, routed, documented and guarded like any other", async () => {
  await using muin = await startMuin({ checkout: copy });
  const greet = (guest: string, key: string): Promise<Response> =>
    fetch(`${muin.http}/api/v1/greetings`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ guest }),
    });
  for (const times of [1, 2]) {
    expect(await (await greet("ada", muin.operatorKey)).json()).toEqual({ times });
  }
  const refused = await greet("ada", muin.apiKey);
  expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining("greetings.write")]);
  expect(await (await greet("nobody", muin.operatorKey)).text()).toContain("GUEST_UNWELCOME");

  const document = (await (await fetch(`${muin.http}/openapi.json`)).json()) as { paths: Record<string, unknown> };
  expect(JSON.stringify(document.paths["/api/v1/greetings"])).toContain("Greets a guest once more.");
  const listed = JSON.parse(await output(["bun", "cmd/muin/main.ts", "graph", "--json"], copy)) as {
    uses: readonly unknown[];
  };
  expect(listed.uses).toContainEqual({ service: "greeter", store: "greeter", access: "owner" });
});
