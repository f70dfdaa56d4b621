/**
 * Brings `internal/gen` up to date with the protos. With `--check`, or where `CI` is "true", it changes nothing and fails naming
 * what is out of date.
 */
import { Glob } from "bun";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../../..");
const current = join(root, "internal/gen");
const checkOnly = process.argv.includes("--check") || process.env["CI"] === "true";

const folder = await mkdtemp(join(tmpdir(), "muin-generate-"));
try {
  const bin = join(root, "node_modules/.bin");
  const child = Bun.spawn([join(bin, "buf"), "generate", "--output", folder], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` }, // buf looks for its plugins there.
  });
  if ((await child.exited) !== 0) process.exit(1);
  const fresh = join(folder, "internal/gen");
  const [wanted, present] = [await filesOf(fresh), await filesOf(current)];
  const stale: string[] = [];
  for (const file of wanted) {
    const text = await Bun.file(join(fresh, file)).text();
    if (present.has(file) && text === (await Bun.file(join(current, file)).text())) continue;
    stale.push(file);
    if (checkOnly) continue;
    await mkdir(dirname(join(current, file)), { recursive: true });
    await Bun.write(join(current, file), text);
  }
  for (const file of present) {
    if (wanted.has(file)) continue;
    stale.push(file);
    if (!checkOnly) await rm(join(current, file));
  }
  if (wanted.size === 0) throw new Error("buf generated nothing");
  for (const file of stale) console.log(`${checkOnly ? "out of date" : "updated"}: internal/gen/${file}`);
  if (checkOnly && stale.length > 0) {
    console.error('The code generated from the protos is out of date: run "bun run generate" and commit it.');
    process.exitCode = 1;
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function filesOf(path: string): Promise<ReadonlySet<string>> {
  return new Set((await Array.fromAsync(new Glob("**/*.ts").scan({ cwd: path }))).toSorted());
}
