import { expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createMuinFolder, startMuin } from "../platform/testing/muin.ts";

setDefaultTimeout(120_000);

test("an old redis-server on PATH, as Debian 12 has it, is named and passed over; the lowest version that is taken runs every store", async () => {
  await using folder = await createMuinFolder();
  const bin = join(folder.path, "bin");
  await mkdir(bin, { recursive: true });
  await Bun.write(
    join(bin, "redis-server"),
    "#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0'\n",
  );
  await chmod(join(bin, "redis-server"), 0o755);
  await using muin = await startMuin({ folder, env: { PATH: `${bin}:${process.env["PATH"]}`, REDIS_SERVER: "" } });
  expect(muin.stderr()).toContain(`Not using ${bin}/redis-server, Redis 7.0.15: Muin needs 8.10.2 or later.`);
  const { stores } = JSON.parse((await muin.run("status", "--json")).stdout) as {
    stores: { kind: string; reachable: boolean; server_version: string }[];
  };
  const seen = new Set(stores.map((store) => `${store.kind} ${store.server_version} ${store.reachable}`));
  expect([...seen].toSorted()).toEqual([
    "folder  true",
    expect.stringMatching(/^postgres 18\.\d+ true$/),
    "redis 8.10.2 true",
  ]);
});
