import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createOwnFolder, giveOwnFolder } from "./own-folder.ts";
import { SetupError } from "./setup-error.ts";

let parent: string;
let path: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "muin-own-folder-"));
  path = join(parent, "a", "b");
});
afterEach(() => rm(parent, { recursive: true }));

const rootOnly = test.skipIf(process.getuid?.() !== 0);

/** Why a folder cannot be held; fails when it can. */
async function refusalOf(at: string): Promise<string> {
  const error: unknown = await createOwnFolder(at)
    .start()
    .catch((refusal: unknown) => refusal);
  expect(error).toBeInstanceOf(SetupError);
  return (error as SetupError).message;
}

test("a folder is made for its account alone, closed where it was open, and kept with what is in it", async () => {
  const first = createOwnFolder(path);
  await first.start();
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect(await first.probe()).toBeUndefined();
  await writeFile(join(path, "kept"), "x");
  await first.stop();
  await first.stop();
  await chmod(path, 0o755);
  const second = createOwnFolder(path);
  await second.start();
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect(await Bun.file(join(path, "kept")).text()).toBe("x");
  await second.stop();
});

test("one process at a time holds it; what ends without a word leaves it free", async () => {
  const program = `
    const { createOwnFolder } = await import(${JSON.stringify(join(import.meta.dir, "own-folder.ts"))});
    const own = createOwnFolder(${JSON.stringify(path)});
    await own.start();
    process.stdout.write("held");
    setInterval(() => own.probe(), 60_000); // Whoever holds a folder knows it to the end.`;
  const other = Bun.spawn([process.execPath, "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const reader = other.stdout.getReader();
  await reader.read();
  expect(await refusalOf(path)).toContain("is in use by another process");
  other.kill("SIGKILL");
  await other.exited;
  const own = createOwnFolder(path);
  await own.start();
  expect(await refusalOf(path)).toContain("is in use by another process");
  await own.stop();
});

test("a folder with other things in it is left alone", async () => {
  await mkdir(path, { recursive: true, mode: 0o755 });
  await writeFile(join(path, "theirs"), "");
  expect(await refusalOf(path)).toContain("holds what is not Muin's");
  const given = giveOwnFolder(path, { name: "somebody", uid: 65_534, gid: 65_534 });
  expect(await given.catch(String)).toContain("holds what is not Muin's");
  expect((await stat(path)).mode & 0o777).toBe(0o755);
});

test("one that cannot be made says why", async () => {
  await writeFile(join(parent, "a"), "a file");
  expect(await refusalOf(path)).toContain("cannot be used: ");
});

rootOnly("root gives it to the account that it goes on as, made when absent, and with all in it", async () => {
  const account = { name: "somebody", uid: 65_534, gid: 65_534 };
  await giveOwnFolder(path, account);
  expect((await stat(path)).uid).toBe(account.uid);
  await chown(path, 0, 0);
  await writeFile(join(path, "lock"), "");
  await giveOwnFolder(path, account);
  expect([(await stat(path)).uid, (await stat(join(path, "lock"))).uid]).toEqual([account.uid, account.uid]);
});
