import { expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../events/redis/redis-broker-fixture.ts";
import { migrate } from "../postgres/migrate.ts";
import { eventually } from "../testing/eventually.ts";
import { runProgram, type TestProgram } from "../testing/muin.ts";
import { startPostgres } from "../testing/postgres.ts";
import { expectPromised } from "../testing/promise.ts";

setDefaultTimeout(30_000);

/** A service whose events server is not there: it serves its health, and is never ready. */
const program = (stores = "", more = ""): string => `
  import { defineService } from ${JSON.stringify(join(import.meta.dir, "../service/define-service.ts"))};
  import { folder, postgres } from ${JSON.stringify(join(import.meta.dir, "../service/stores.ts"))};
  import { runService } from ${JSON.stringify(join(import.meta.dir, "run-service.ts"))};
  const probe = defineService({
    name: "probe", summary: "A probe.", serves: [], calls: {}, stores: {${stores}}, publishes: [], consumes: [], config: {},
    errors: {}, personalData: "none", ${more}
    create: () => [],
  });
  await runService(probe, [probe]);
`;
const settings = {
  MUIN_HTTP_PORT: "0",
  MUIN_GRPC_PORT: "0",
  MUIN_OPERATOR_PORT: "0",
  MUIN_LOG_LEVEL: "info",
  MUIN_EVENTS_URL: "redis://probe:secret@127.0.0.1:1",
};

function run(env: Readonly<Record<string, string>>, stores?: string, more?: string): TestProgram {
  return runProgram([process.execPath, "--no-env-file", "-e", program(stores, more)], { cwd: tmpdir(), env });
}

/** What a process says of its readiness. */
async function readinessOf(probe: TestProgram): Promise<string> {
  const operator = /"operator":"([^"]+)"/.exec(probe.stdout())?.[1] ?? "";
  return (await fetch(`${operator}/readyz`)).text();
}

test("a process that is not ready yet stops in order at the first signal", async () => {
  await using probe = run(settings);
  await eventually(() => expect(probe.stdout()).toContain('"message":"serving"'));
  const { code, tookMs } = await probe.stop();
  expect(code).toBe(0);
  expectPromised("a process stops", 10_000, tookMs);
  expect(probe.stdout()).toContain('"message":"stopped"');
  expect(probe.stdout()).not.toContain('"level":"error"');
});

test.each([
  ["MUIN_EVENTS_URL", "http://probe:secret@127.0.0.1:1"],
  ["MUIN_HTTP_PORT", "many"],
])("a %s that cannot be used ends it with code 78, by name and without secrets", async (variable, value) => {
  await using probe = run({ ...settings, [variable]: value });
  expect(await probe.ended).toMatchObject({ code: 78, signal: null });
  expect(probe.stderr()).toContain(variable);
  expect(probe.stderr()).not.toContain("secret");
});

test.each(["MUIN_HTTP_PORT", "MUIN_GRPC_PORT", "MUIN_OPERATOR_PORT"])(
  "a port that another program has ends it, and the error names %s",
  async (variable) => {
    const other = Bun.serve({ hostname: "127.0.0.1", port: 0, reusePort: false, fetch: () => new Response() });
    try {
      await using probe = run({ ...settings, [variable]: `${other.port}` });
      expect(await probe.ended).toMatchObject({ code: 1, signal: null });
      const said = probe.stdout() + probe.stderr();
      expect(said).toContain(`port ${other.port} (${variable}) is taken by another program`);
    } finally {
      await other.stop(true);
    }
  },
);

test("a folder is held by one process at a time, whose account alone enters it", async () => {
  const parent = await mkdtemp(join(tmpdir(), "muin-run-service-"));
  try {
    await chmod(parent, 0o755);
    const path = join(parent, "queue");
    const env = { ...settings, MUIN_STORE_QUEUE_PATH: path };
    await using first = run(env, "queue: folder()");
    await eventually(() => expect(first.stdout()).toContain('"message":"serving"'));
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    await using second = run(env, "queue: folder()");
    expect(await second.ended).toMatchObject({ code: 1, signal: null });
    expect(second.stderr()).toContain(`The folder ${path} is in use by another process`);
    await first.kill();
    await using third = run(env, "queue: folder()");
    await eventually(() => expect(third.stdout()).toContain('"message":"serving"'));
    await using unset = run(settings, "queue: folder()");
    expect(await unset.ended).toMatchObject({ code: 78, signal: null });
    expect(unset.stderr()).toContain("MUIN_STORE_QUEUE_PATH");
  } finally {
    await rm(parent, { recursive: true });
  }
});

test("a database that is newer than the program ends it, and says why", async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase();
  await migrate({ url, migrations: [{ name: "0001_newer", sql: "select 1" }], log: silentLog });
  await using probe = run({ ...settings, MUIN_STORE_DB_URL: url }, `db: postgres({ database: "db", migrations: [] })`);
  expect(await probe.ended).toMatchObject({ code: 1, signal: null });
  expect(probe.stderr()).toContain("it is older than the database");
  expect(probe.stdout()).toContain('"message":"the service cannot come up"');
});

test("a service that stands alone is ready with nothing there, and one whose database is newer goes on, degraded", async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase();
  await migrate({ url, migrations: [{ name: "0001_newer", sql: "select 1" }], log: silentLog });
  const stores = `db: postgres({ database: "db", migrations: [] })`;
  await using newer = run({ ...settings, MUIN_STORE_DB_URL: url }, stores, "standsAlone: true,");
  const nowhere = "postgres://probe:secret@127.0.0.1:1/db";
  await using away = run({ ...settings, MUIN_STORE_DB_URL: nowhere }, stores, "standsAlone: true,");
  await eventually(async () => {
    expect(await readinessOf(away)).toStartWith("ready\ndegraded: probe: its migrations and consumers have not begun");
  });
  await eventually(async () => {
    expect(await readinessOf(newer)).toStartWith("ready\ndegraded: probe: its migrations or consumers cannot begin");
  });
  expect(newer.stdout()).toContain("it is older than the database");
  expect([(await newer.stop()).code, (await away.stop()).code]).toEqual([0, 0]);
});
