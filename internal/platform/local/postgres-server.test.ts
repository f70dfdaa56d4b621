import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { silentLog } from "../testing/local-stores.ts";
import { createServerFolder } from "../testing/server-folder.ts";
import { createDataFolder } from "./data-folder.ts";
import { providePostgres } from "./postgres-binaries.ts";
import { createPostgresServer } from "./postgres-server.ts";

test("data of another major version of PostgreSQL are refused by name", async () => {
  const place = await createServerFolder("postgres-server");
  const folder = createDataFolder({ path: join(place.path, "data"), random: systemRandom });
  await folder.start();
  try {
    const binaries = await providePostgres({ env: {} });
    const deps = { folder, binaries: () => binaries, clock: systemClock, random: systemRandom, log: silentLog };
    const data = join(folder.path, "postgres/data");
    await mkdir(data, { recursive: true });
    await writeFile(join(data, "PG_VERSION"), "19\n");
    expect(await createPostgresServer(deps).start().catch(String)).toBe(
      `SetupError: ${data} was made by PostgreSQL 19, but ${binaries.postgres} is PostgreSQL ${binaries.version}. ` +
        "Set POSTGRES_BIN to the bin folder of a PostgreSQL 19.",
    );
  } finally {
    await folder.stop();
    await place.remove();
  }
});
