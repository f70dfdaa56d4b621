import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServiceToken } from "./service-token.ts";

test("a replaced token is used within 5 seconds; the last one serves while the file is away", async () => {
  const folder = mkdtempSync(join(tmpdir(), "muin-token-"));
  try {
    const path = join(folder, "token");
    let nowMs = 0;
    const token = createServiceToken({ path, clock: { monotonic: () => nowMs } });
    expect(await token().catch(String)).toContain("no token");
    writeFileSync(path, "one\n");
    expect(await token()).toBe("one");
    writeFileSync(path, "two");
    nowMs += 4999;
    expect(await token()).toBe("one");
    nowMs += 1;
    expect(await token()).toBe("two");
    rmSync(path);
    nowMs += 5000;
    expect(await token()).toBe("two");
    writeFileSync(path, "");
    nowMs += 5000;
    expect(await token()).toBe("two");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
