import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { providePostgres } from "./postgres-binaries.ts";

describe("finding PostgreSQL", () => {
  test("POSTGRES_BIN comes first, then the npm package; either holds initdb and postgres", async () => {
    const ofPackage = await providePostgres({ env: {} });
    const preset = await providePostgres({ env: { POSTGRES_BIN: dirname(ofPackage.postgres) } });
    expect(preset).toEqual(ofPackage);
    for (const program of [preset.initdb, preset.postgres]) {
      const { stdout } = Bun.spawnSync([program, "--version"], { stdout: "pipe" });
      expect(stdout.toString()).toContain("(PostgreSQL) 18.");
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
