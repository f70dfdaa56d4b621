import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, cp, lstat, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import {
  binaryOf,
  createMuinFolder,
  muinCommand,
  runProgram,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../platform/testing/muin.ts";
import { environmentOf } from "../platform/testing/mutant-process.ts";
import { createServerFolder } from "../platform/testing/server-folder.ts";

setDefaultTimeout(180_000);
const root = resolve(import.meta.dir, "../..");
const isRoot = process.getuid?.() === 0;
/** The user "nobody" of every Linux. */
const nobody = 65_534;

/** Ids of a user, real, effective, saved and of the file system, its groups, and those of all further groups, over all threads. */
async function idsOf(pid: number): Promise<number[]> {
  const ids = new Set<number>();
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${thread}/status`, "utf8");
    for (const [, line] of status.matchAll(/^(?:Uid|Gid|Groups):(.*)$/gm)) {
      for (const id of line?.trim().split(/\s+/) ?? []) if (id !== "") ids.add(Number(id));
    }
  }
  return [...ids];
}

async function accountOf(name: string): Promise<number> {
  const passwd = await readFile("/etc/passwd", "utf8");
  return Number(new RegExp(`^${name}:[^:]*:(\\d+):`, "m").exec(passwd)?.[1]);
}

/** The users of the process and its servers, and of what is in the data folder. */
async function owners(muin: TestMuin): Promise<{ processes: number[]; files: number[] }> {
  const processes = new Set(await idsOf(muin.pid));
  for (const { pid } of await muin.folder.processes()) {
    // Workers of PostgreSQL come and go.
    for (const id of await idsOf(pid).catch(() => [])) processes.add(id);
  }
  const names = await readdir(muin.dataDir, { recursive: true });
  const uids = names.map((name) =>
    lstat(join(muin.dataDir, name)).then(
      ({ uid }) => uid,
      () => undefined, // Gone meanwhile.
    ),
  );
  const files = new Set([(await lstat(muin.dataDir)).uid, ...(await Promise.all(uids))]);
  return { processes: [...processes], files: [...files].filter((uid) => uid !== undefined) };
}

async function increment(muin: TestMuin): Promise<bigint | undefined> {
  return (await muin.client(CountWriteService).increment({ countId: "kept" })).value?.value;
}

/** Starts a Muin of root's on the folder, with a Count. */
async function startOfRoot(folder: MuinFolder): Promise<TestMuin> {
  const muin = await startMuin({ folder, env: { MUIN_USER: "root" } });
  expect(muin.facts["user"]).toBe("root");
  await muin.client(CountManagementService).createCount({ countId: "kept" });
  expect(await increment(muin)).toBe(1n);
  return muin;
}

describe.skipIf(!isRoot)("started as root (skipped without the rights of root)", () => {
  test.each(["sources", "binary"] as const)("muin up from %s has no process or file of root's", async (from) => {
    await using muin = await startMuin({ from });
    const own = await accountOf("muin");
    expect(own).toBeGreaterThan(0);
    await muin.client(CountManagementService).createCount({ countId: "kept" });
    expect(await increment(muin)).toBe(1n);
    expect(muin.facts["user"]).toBe("muin");
    const { processes, files } = await owners(muin);
    expect(processes).not.toContain(0);
    expect(files).toEqual([own]);
    const { notices } = await muin.client(OperationsService).getStatus({});
    expect(notices).toEqual([]);
  });

  test("it goes on as the user that is named, and refuses one that there is not", async () => {
    await using muin = await startMuin({ args: ["--user", "nobody"] });
    expect((await owners(muin)).files).toEqual([nobody]);
    await using folder = await createMuinFolder();
    const up = [...(await muinCommand("sources")), "up", "--data-dir", folder.dataDir];
    await using refused = runProgram(up, { cwd: folder.path, env: { MUIN_USER: "no-such-user" } });
    expect(await refused.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('MUIN_USER is "no-such-user"') as string,
    });
  });

  test("it takes over what a Muin of root's left, servers that still run included, and gives it back", async () => {
    await using folder = await createMuinFolder();
    const first = await startOfRoot(folder);
    expect((await owners(first)).processes).toContain(0);
    await first.kill();
    expect((await folder.processes()).length).toBeGreaterThan(0);

    const second = await startMuin({ folder });
    expect((await owners(second)).files).toEqual([await accountOf("muin")]);
    expect((await owners(second)).processes).not.toContain(0);
    expect(await increment(second)).toBe(2n);
    expect(await second.stop()).toMatchObject({ code: 0 });

    const third = await startMuin({ folder, env: { MUIN_USER: "root" } });
    expect(await increment(third)).toBe(3n);
    expect(await third.stop()).toMatchObject({ code: 0 });

    await using fourth = await startMuin({ folder });
    const { count } = await fourth.client(CountReadService).getCount({ countId: "kept", maxStaleness: {} });
    expect(count?.value?.value).toBe(3n);
    expect((await owners(fourth)).files).toEqual([await accountOf("muin")]);
  });

  test("it refuses a data folder that its user could not reach, and touches none that is in use", async () => {
    await using folder = await createMuinFolder();
    const closed = join(folder.path, "closed");
    await mkdir(closed, { mode: 0o700 });
    const up = [...(await muinCommand("sources")), "up", "--data-dir"];
    await using refused = runProgram([...up, join(closed, "data")], { cwd: folder.path });
    expect(await refused.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`the user "muin", which cannot enter ${closed}`) as string,
    });

    const first = await startOfRoot(folder);
    const before = await owners(first);
    await using second = runProgram([...up, folder.dataDir], { cwd: folder.path });
    expect(await second.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`already running on the data folder ${folder.dataDir}`) as string,
    });
    expect(new Set((await owners(first)).files)).toEqual(new Set(before.files));
    expect(await increment(first)).toBe(2n);
    expect(await first.stop()).toMatchObject({ code: 0 });
  });

  test("from a checkout that only root reads it stays root, and says so in table, log and status", async () => {
    await using checkout = await copyForRoot();
    await using folder = await createMuinFolder();
    const ports = ["--http-port", "0", "--grpc-port", "0", "--operator-port", "0"];
    const reason = `the user "muin" cannot enter ${checkout.path}, where the program is`;
    const up = [...(await muinCommand("sources", checkout.path)), "up", "--data-dir", folder.dataDir, ...ports];
    {
      await using muin = runProgram(up, { cwd: folder.path });
      await muin.shows("Ctrl-C stops it.");
      expect(muin.stdout()).toMatch(new RegExp(`^ +user +root: ${reason}$`, "m"));
      expect(muin.stderr()).toContain("runs as root, with all its rights");
      expect(await idsOf(muin.pid)).toContain(0);
    }
    await using muin = await startMuin({ folder, checkout: checkout.path });
    expect(muin.facts["user"]).toBe("root");
    const { notices } = await muin.client(OperationsService).getStatus({});
    expect(notices).toEqual([`Muin runs as root, with all its rights: ${reason}`]);
  });

  test.each([
    [
      "from its sources",
      () => Promise.resolve([process.execPath, "--no-env-file", join(root, "cmd/count-read/main.ts")]),
    ],
    ["from its binary", async () => [await binaryOf("count-read")]],
  ])("a service goes on as its own user before it listens, %s", async (_, command) => {
    await using folder = await createMuinFolder();
    await using service = runProgram(await command(), { cwd: folder.path, env: serviceEnv });
    await service.shows('"message":"serving"');
    const [uid, ...others] = await idsOf(service.pid);
    expect([uid, others.includes(0)]).toEqual([await accountOf("muin"), false]);
    const lines = service.stdout().split("\n");
    const [left, serving] = ["runs as", "serving"].map((message) =>
      lines.findIndex((line) => line.includes(`"${message}"`)),
    );
    expect(left).toBeGreaterThanOrEqual(0);
    expect(left).toBeLessThan(serving ?? 0);
  });

  test.each([
    ["its user", "process.setuid?.(uid);"],
    ["its group", "process.setgid?.(gid);"],
    ["root's further groups", ".initgroups(name, gid);"],
  ])("the test notices a service that keeps %s", async (_, from) => {
    await using folder = await createMuinFolder();
    const file = join(root, "internal/platform/local/leave-root.ts");
    const to = from.startsWith(".") ? ".valueOf();" : "";
    const { BUN_OPTIONS, MUIN_TEST_MUTANT } = environmentOf({ file, from, to });
    const command = [
      "setpriv",
      "--groups=0,4",
      process.execPath,
      "--no-env-file",
      join(root, "cmd/count-read/main.ts"),
    ];
    await using service = runProgram(command, {
      cwd: folder.path,
      env: { ...serviceEnv, BUN_OPTIONS: BUN_OPTIONS ?? "", MUIN_TEST_MUTANT: MUIN_TEST_MUTANT ?? "" },
    });
    await service.shows('"message":"serving"');
    expect(await idsOf(service.pid)).toContain(0);
  });
});

/** A process whose stores are not there: it serves, and is never ready. */
const serviceEnv = {
  MUIN_HTTP_PORT: "0",
  MUIN_GRPC_PORT: "0",
  MUIN_OPERATOR_PORT: "0",
  MUIN_LOG_LEVEL: "info",
  MUIN_EVENTS_URL: "redis://127.0.0.1:1",
  MUIN_STORE_PRIMARY_URL: "redis://127.0.0.1:1",
  MUIN_STORE_CACHE_URL: "redis://127.0.0.1:1",
  MUIN_STORE_INFO_URL: "postgres://127.0.0.1:1/info",
} as const;

/** A copy of the checkout in a folder that only its owner, root, may enter. */
async function copyForRoot(): Promise<{ readonly path: string } & AsyncDisposable> {
  const folder = await createServerFolder("checkout");
  for (const name of ["cmd", "internal", "package.json", "tsconfig.json", "bunfig.toml"]) {
    await cp(join(root, name), join(folder.path, name), { recursive: true });
  }
  await symlink(join(root, "node_modules"), join(folder.path, "node_modules"));
  await chmod(folder.path, 0o700);
  return { path: folder.path, [Symbol.asyncDispose]: () => folder.remove() };
}
