import { expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { importMutant } from "../testing/mutant.ts";
import { closedFolder } from "./files.ts";

async function linkIntoClosed(closedFolderOf: typeof closedFolder): Promise<string | undefined> {
  const base = await realpath(await mkdtemp(join(tmpdir(), "muin-files-")));
  try {
    await chmod(base, 0o755);
    await mkdir(join(base, "closed", "programs"), { recursive: true });
    await chmod(join(base, "closed"), 0o700);
    await symlink(join(base, "closed", "programs"), join(base, "link"));
    return (await closedFolderOf(join(base, "link")))?.slice(base.length);
  } finally {
    await rm(base, { recursive: true });
  }
}

test("a folder that a link leads to is as closed as it is where it stands", async () => {
  expect(await linkIntoClosed(closedFolder)).toBe("/closed");
});

test("the test notices when it is not asked where links lead", async () => {
  const mutant = await importMutant<{ closedFolder: typeof closedFolder }>(
    join(import.meta.dir, "files.ts"),
    "new Set([path, await realpath(path)])",
    "[path]",
  );
  expect(await linkIntoClosed(mutant.closedFolder)).not.toBe("/closed");
});
