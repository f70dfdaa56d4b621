import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRandom } from "../clock/random.ts";
import { createDataFolder, defaultDataPath, readCredentials, readRunRecord, type DataFolder } from "./data-folder.ts";

let path = "";

beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), "muin-folder-")), "a", "b");
});

afterEach(() => rm(join(path, "..", ".."), { recursive: true, force: true }));

async function open(): Promise<DataFolder> {
  const folder = createDataFolder({ path, random: systemRandom });
  await folder.start();
  return folder;
}

describe("a data folder", () => {
  test("keeps secrets and ports, for its owner alone", async () => {
    const first = await open();
    const names = ["a", "b", "a"];
    const secrets = await Promise.all(names.map((name) => first.secret(name)));
    await first.setPort("redis/counts", 20_001);
    await first.stop();
    const second = await open();
    expect(await Promise.all(names.map((name) => second.secret(name)))).toEqual(secrets);
    expect(second.port("redis/counts")).toBe(20_001);
    expect(second.port("redis/other")).toBeUndefined();
    await second.stop();
    expect(new Set(secrets).size).toBe(2);
    for (const secret of secrets) expect(secret).toMatch(/^[\w-]{32}$/);
    expect((await stat(join(path, "secrets.json"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(path, "lock"))).mode & 0o777).toBe(0o600);
    expect((await stat(path)).mode & 0o066).toBe(0);
  });

  test("that cannot be made is named, with the option that names another", async () => {
    const folder = createDataFolder({ path: "/proc/muin", random: systemRandom });
    const message =
      /^SetupError: The data folder \/proc\/muin cannot be made \(ENOENT: .*\)\. Choose another with --data-dir, or /;
    expect(String(await folder.start().catch((error: unknown) => error))).toMatch(message);
  });

  test("says where Muin serves while it does, and no longer", async () => {
    const folder = await open();
    expect(await readRunRecord(path)).toEqual({ pid: process.pid, startTicks: expect.stringMatching(/^\d+$/) });
    const addresses = { http: "http://127.0.0.1:8080", grpc: "127.0.0.1:9090", operator: "http://127.0.0.1:9091" };
    await folder.announce(addresses);
    expect(await readRunRecord(path)).toMatchObject({ pid: process.pid, ...addresses });
    await folder.stop();
    expect(await readRunRecord(path)).toBeUndefined();
  });

  test("does not take the record of a killed Muin for a running one, though its pid is in use again", async () => {
    await mkdir(path, { recursive: true });
    for (const record of [
      { pid: process.pid, startTicks: "1", http: "http://127.0.0.1:1" },
      { pid: 2 ** 30, startTicks: "1", http: "http://127.0.0.1:1" },
    ]) {
      await Bun.write(join(path, "run.json"), JSON.stringify(record));
      expect(await readRunRecord(path)).toBeUndefined();
    }
  });

  test("keeps credentials, for its owner alone", async () => {
    expect(await readCredentials(path)).toBeUndefined();
    const folder = await open();
    expect(await folder.readCredentials()).toBeUndefined();
    await folder.saveCredentials({ api_key: "demo", operator_key: "all" });
    await folder.stop();
    expect(await readCredentials(path)).toEqual({ api_key: "demo", operator_key: "all" });
    expect((await stat(join(path, "credentials.json"))).mode & 0o777).toBe(0o600);
  });

  test("is one process's at a time, and free again after stop", async () => {
    const first = await open();
    const second = createDataFolder({ path, random: systemRandom });
    expect(await second.start().catch(String)).toContain(
      `already running on the data folder ${path} (process ${process.pid})`,
    );
    await second.stop();
    expect(await readRunRecord(path)).toBeDefined(); // The refused one took nothing away.
    await first.stop();
    await first.stop();
    await (await open()).stop();
  });

  test("whose secrets were removed is refused rather than given new ones", async () => {
    await mkdir(join(path, "postgres", "data"), { recursive: true });
    const folder = createDataFolder({ path, random: systemRandom });
    expect(await folder.start().catch(String)).toContain("secrets.json is missing");
    await folder.stop();
    expect(await readdir(path)).not.toContain("secrets.json");
  });

  test("that was there keeps its mode", async () => {
    await mkdir(path, { recursive: true, mode: 0o755 });
    await (await open()).stop();
    expect((await stat(path)).mode & 0o777).toBe(0o755);
  });
});

describe("the default data folder", () => {
  const isRoot = process.getuid?.() === 0;

  test("follows XDG_DATA_HOME when that is absolute", () => {
    const inHome = isRoot ? "/var/lib/muin" : "/home/me/.local/share/muin";
    expect(
      [{ XDG_DATA_HOME: "/data" }, { XDG_DATA_HOME: "relative" }, {}].map((env) =>
        defaultDataPath({ HOME: "/home/me", ...env }),
      ),
    ).toEqual(["/data/muin", inHome, inHome]);
  });
});
