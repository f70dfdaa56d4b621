import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { providePostgres } from "./postgres-binaries.ts";

describe("finding PostgreSQL", () => {
  test("POSTGRES_BIN comes first, then the npm package; either holds initdb and postgres", async () => {
    const ofPackage = await providePostgres({ env: {} });
    const preset = await providePostgres({ env: { POSTGRES_BIN: dirname(ofPackage.postgres) } });
    expect(preset).toEqual(ofPackage);
    for (const program of [preset.initdb, preset.postgres]) {
      const { stdout } = Bun.spawnSync([program, "--version"], { stdout: "pipe" });
      expect(stdout.toString()).toContain(`(PostgreSQL) ${preset.version}`);
    }
    expect(preset.version).toMatch(/^18\.\d+$/);
  });

  test.each([
    ["echo 'postgres (PostgreSQL) 17.9 (Debian 17.9-1)'", ", PostgreSQL 17.9; Muin needs 18 or later."],
    ["exit 1", ", whose postgres does not run."],
  ])("a POSTGRES_BIN that is too old or broken is refused by name: %s", async (body, why) => {
    const bin = await mkdtemp(join(tmpdir(), "muin-postgres-"));
    try {
      for (const name of ["postgres", "initdb"]) {
        await writeFile(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
      }
      const refusal = await providePostgres({ env: { POSTGRES_BIN: bin } }).catch(String);
      expect(refusal).toBe(`SetupError: POSTGRES_BIN is ${bin}${why}`);
    } finally {
      await rm(bin, { recursive: true });
    }
  });

  test("a POSTGRES_BIN without them is refused by name", async () => {
    expect(await providePostgres({ env: { POSTGRES_BIN: tmpdir() } }).catch(String)).toBe(
      `SetupError: POSTGRES_BIN is ${tmpdir()}, which lacks postgres or initdb; it must be PostgreSQL's bin folder.`,
    );
  });

  test("it runs as an account without the rights of root", async () => {
    const { user } = await providePostgres({ env: {} });
    if (process.getuid?.() === 0) expect(user?.uid).toBeGreaterThan(0);
    else expect(user).toBeUndefined();
  });
});
