import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chown, cp, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { systemClock } from "../platform/clock/clock.ts";
import { provideRedis } from "../platform/local/redis-binary.ts";
import { eventually } from "../platform/testing/eventually.ts";
import {
  createMuinFolder,
  muinCommand,
  runProgram,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../platform/testing/muin.ts";
import { expectPromised } from "../platform/testing/promise.ts";

const root = resolve(import.meta.dir, "../..");
/** A test starts Muin several times, on a machine that may be busy; a hang ends long before. */
setDefaultTimeout(120_000);
/** The user "nobody" of every Linux. */
const nobody = 65_534;

async function create(muin: TestMuin, countId: string): Promise<void> {
  await muin.client(CountManagementService).createCount({ countId });
}

async function increment(muin: TestMuin, countId: string): Promise<bigint | undefined> {
  return (await muin.client(CountWriteService, muin.apiKey).increment({ countId })).value?.value;
}

async function valueOf(muin: TestMuin, countId: string): Promise<bigint | undefined> {
  const { count } = await muin.client(CountReadService).getCount({ countId, maxStaleness: { seconds: 0n } });
  return count?.value?.value;
}

/** Runs `muin up` to its end, on free ports unless told otherwise. */
async function runUp(folder: MuinFolder, ...args: readonly string[]) {
  const command = [...(await muinCommand("sources")), "up", "--json", "--data-dir", folder.dataDir];
  await using program = runProgram(
    [...command, "--http-port", "0", "--grpc-port", "0", "--operator-port", "0", ...args],
    {
      cwd: folder.path,
    },
  );
  return await program.ended; // Not before it has ended is it disposed of.
}

/** The lines of the first screen in a text, without what differs between machines and starts. */
function firstScreen(text: string): readonly string[] {
  const screen = /^ *Muin \S+ is ready\.$.*?^ *Ctrl-C stops it\.$/ms.exec(text)?.[0];
  if (screen === undefined) throw new Error("there is no first screen in the text");
  return screen.split("\n").map((line) =>
    line
      .trim()
      .replace(/^(data|user|admin|API key) .*/, "$1")
      .replace(/ --data-dir \S+/, "")
      .replace(/Bearer [^']*/, "Bearer")
      .replaceAll(/127\.0\.0\.1:\d+/g, "address"),
  );
}

describe("muin up", () => {
  test("tells where it serves in one line, the password once; keeps its data; stops in order", async () => {
    await using folder = await createMuinFolder();
    await using first = await startMuin({ folder });
    const facts = {
      http: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      grpc: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      operator: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      data_dir: folder.dataDir,
      user: process.getuid?.() === 0 ? "muin" : expect.any(String),
      api_key: expect.stringMatching(/^muin_[\w-]{43}$/),
    };
    expect(first.facts).toEqual({
      ...facts,
      admin: { email: "admin@localhost", password: expect.stringMatching(/^[\w-]{24}$/) },
    });
    expect((await stat(join(folder.dataDir, "credentials.json"))).mode & 0o777).toBe(0o600);
    expect(first.operatorKey).not.toBe(first.apiKey);
    await create(first, "kept");
    expect(await increment(first, "kept")).toBe(1n);
    expect((await folder.processes()).length).toBeGreaterThan(0);
    const end = await first.stop();
    expect(end).toMatchObject({ code: 0, signal: null });
    expectPromised("muin stops", 10_000, end.tookMs);
    expect(await folder.processes()).toEqual([]);
    expect(first.stdout().trimEnd().split("\n")).toHaveLength(1);

    await using second = await startMuin({ folder });
    expectPromised("muin starts on data that it has", 5000, second.startupMs);
    expect(second.facts).toEqual({ ...facts, admin: { email: "admin@localhost" }, api_key: first.apiKey });
    expect(await valueOf(second, "kept")).toBe(1n);
    expect(await increment(second, "kept")).toBe(2n);
  });

  test("a binary says how to call it again, by the name that it was called by", async () => {
    await using folder = await createMuinFolder();
    const [binary = ""] = await muinCommand("binary");
    const ports = ["--http-port", "0", "--grpc-port", "0", "--operator-port", "0"];
    await using muin = runProgram([binary, "up", "--data-dir", folder.dataDir, ...ports], { cwd: folder.path });
    await muin.shows("Ctrl-C stops it.");
    expect(muin.stdout()).toContain(`\n  ${binary} counts create visits --data-dir ${folder.dataDir}\n`);
    expect(muin.stdout()).toContain(`\n  ${binary} counts inc visits --data-dir ${folder.dataDir}\n`);
    expect(muin.stdout()).toContain(`\n  ${binary} door --data-dir ${folder.dataDir}\n`);
  });

  test("into a pipe prints no secret, in its table as in its log at debug level, and names the file that has them", async () => {
    await using folder = await createMuinFolder();
    const secretsIn = async (name: string): Promise<readonly string[]> =>
      Object.values((await Bun.file(join(folder.dataDir, name)).json()) as Record<string, string>);
    const command = [...(await muinCommand("sources")), "up", "--data-dir", folder.dataDir];
    for (const start of ["first", "second"]) {
      await using muin = runProgram([...command, "--http-port", "0", "--grpc-port", "0"], {
        cwd: folder.path,
        env: { MUIN_LOG_LEVEL: "debug" },
      });
      await muin.shows("Ctrl-C stops it.");
      const readme = await Bun.file(join(root, "README.md")).text();
      if (start === "first") expect(firstScreen(muin.stdout())).toEqual(firstScreen(readme));
      const credentials = (await Bun.file(join(folder.dataDir, "credentials.json")).json()) as Record<string, string>;
      expect(Object.keys(credentials).toSorted()).toEqual(["admin_password", "api_key", "operator_key"]);
      const http = /http:\/\/127\.0\.0\.1:\d+/.exec(muin.stdout())?.[0] ?? "";
      const post = (path: string, body: unknown, key = "") =>
        fetch(`${http}/api/v1/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json", ...(key === "" ? {} : { authorization: `Bearer ${key}` }) },
          body: JSON.stringify(body),
        }).then((response) => response.json() as Promise<Record<string, never>>);
      const signIn = { email: "admin@localhost", password: credentials["admin_password"] };
      const { tokens } = (await post("auth:signIn", signIn)) as { tokens?: { accessToken: string } };
      const scopes = ["counts.read"];
      const { secret } = await post("api-keys", { displayName: "x", scopes }, credentials["operator_key"]);
      const made = [tokens?.accessToken ?? "", secret ?? ""];
      expect(made.map((each) => each.length > 40)).toEqual([true, true]);
      const { stdout, stderr } = await muin.stop();
      expect(stderr).toContain('"level":"info"'); // It logs, and at debug level no less than that.
      const file = join(folder.dataDir, "credentials.json");
      expect([start, stdout.includes(`"admin_password" in ${file}`)]).toEqual([start, start === "first"]);
      expect(stdout).toContain(`API key  "api_key" in ${file}`);
      const secrets = [...(await secretsIn("credentials.json")), ...(await secretsIn("secrets.json")), ...made];
      expect(secrets.length).toBeGreaterThan(10);
      expect(secrets.filter((each) => `${stdout}${stderr}`.includes(each))).toEqual([]);
    }
  });

  test("takes the administrator's password from MUIN_ADMIN_PASSWORD and shows it at the first start only", async () => {
    await using muin = await startMuin({ env: { MUIN_ADMIN_PASSWORD: "correct horse battery" } });
    expect(muin.facts["admin"]).toEqual({ email: "admin@localhost", password: "correct horse battery" });
    const response = await fetch(`${muin.http}/api/v1/auth:signIn`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: "admin@localhost", password: "correct horse battery" }),
    });
    expect(response.status).toBe(200);
  });

  test("a second signal ends it at once, and its servers with it", async () => {
    await using folder = await createMuinFolder();
    const muin = await startMuin({ folder });
    await create(muin, "held");
    // A stop waits for calls under way; this one waits for a store that stands still.
    const redis = await folder.store("redis/counts");
    process.kill(redis, "SIGSTOP");
    const held = increment(muin, "held").catch(() => undefined);
    await eventually(async () => {
      const metrics = await (await fetch(`${muin.operator}/metrics`)).text();
      expect(metrics).toMatch(/^muin_rpc_server_in_flight\{[^}]*method="Increment"[^}]*\} 1$/m);
    });
    muin.signal("SIGINT");
    await eventually(async () =>
      expect((await fetch(`${muin.http}/readyz`).catch(() => undefined))?.ok).not.toBe(true),
    );
    const at = performance.now();
    muin.signal("SIGINT");
    expect(await muin.ended).toMatchObject({ code: 130, signal: null });
    expectPromised("a second signal ends it", 2000, performance.now() - at);
    process.kill(redis, "SIGCONT");
    await eventually(async () => expect(await folder.processes()).toEqual([]));
    await held;
  });

  test("stops in time although stores stand still, a stream is open and a write waits", async () => {
    await using folder = await createMuinFolder();
    const muin = await startMuin({ folder });
    await create(muin, "waiting");
    const tail = muin.client(OperationsService).tailEvents({ topic: "platform.heartbeat" })[Symbol.asyncIterator]();
    await tail.next();
    const streaming = tail.next().catch(() => undefined);
    for (const name of ["redis/counts", "redis/cache", "postgres/data"])
      process.kill(await folder.store(name), "SIGSTOP");
    const writing = increment(muin, "waiting").catch(() => undefined);
    const end = await muin.stop();
    expect(end).toMatchObject({ code: 0, signal: null });
    expectPromised("muin stops", 10_000, end.tookMs);
    expect(await folder.processes()).toEqual([]);
    await Promise.all([streaming, writing]);
  });

  test("a signal while it starts stops what has been started", async () => {
    await using folder = await createMuinFolder();
    const command = [...(await muinCommand("sources")), "up", "--data-dir", folder.dataDir];
    await using program = runProgram([...command, "--http-port", "0", "--grpc-port", "0", "--operator-port", "0"], {
      cwd: folder.path,
    });
    await eventually(() => folder.store("redis/counts"));
    const end = await program.stop();
    expect(end).toMatchObject({ code: 0, signal: null });
    expectPromised("muin stops", 10_000, end.tookMs);
    expect(await folder.processes()).toEqual([]);
    expect(program.stdout()).toBe("");
    await using muin = await startMuin({ folder }); // Nothing half done is in the way.
    await create(muin, "after");
  });

  test("after kill -9 the next start takes over what was left, and nothing acknowledged is lost", async () => {
    await using folder = await createMuinFolder();
    const first = await startMuin({ folder });
    await create(first, "survivor");
    for (let value = 1n; value <= 20n; value += 1n) expect(await increment(first, "survivor")).toBe(value);
    await first.kill();
    const left = (await folder.processes()).filter(({ main }) => main).map(({ pid }) => pid);
    expect(left.length).toBeGreaterThanOrEqual(4);
    // It ends what was left, and PostgreSQL recovers.
    await using second = await startMuin({ folder });
    expectPromised("muin starts after kill -9", 10_000, second.startupMs);
    const now = (await folder.processes()).filter(({ main }) => main).map(({ pid }) => pid);
    expect(now.filter((pid) => left.includes(pid))).toEqual([]);
    expect(now).toHaveLength(left.length);
    expect(await valueOf(second, "survivor")).toBe(20n);
    expect(second.facts["api_key"]).toBe(first.apiKey);
  });

  test("is refused on a folder in use, and on a taken port with the flag that changes it", async () => {
    await using muin = await startMuin();
    const again = await runUp(muin.folder);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain(`already running on the data folder ${muin.dataDir} (process ${muin.pid})`);
    expect(again.stderr).toContain("--data-dir");

    await using other = await createMuinFolder();
    for (const [flag, address] of [
      ["--http-port", muin.http],
      ["--grpc-port", muin.grpc],
      ["--operator-port", muin.operator],
    ] as const) {
      const port = address.slice(address.lastIndexOf(":") + 1);
      const refused = await runUp(other, flag, port);
      expect(refused).toMatchObject({ code: 1, stdout: "" });
      expect(refused.stderr).toContain(`port ${port}`);
      expect(refused.stderr).not.toContain("is stopping");
      expect(refused.stderr).toContain(flag);
      expect(refused.stderr).toContain(`MUIN_${flag.slice(2).replace("-", "_").toUpperCase()}`);
      expect(await other.processes()).toEqual([]);
    }
    expect((await fetch(`${muin.http}/readyz`)).status).toBe(200);
  });

  test("a store that dies is started again, and counting goes on", async () => {
    await using muin = await startMuin();
    await create(muin, "steady");
    let value = await increment(muin, "steady");
    for (const name of ["redis/counts", "redis/events", "redis/cache", "postgres/data"]) {
      const before = await muin.folder.store(name);
      process.kill(before, "SIGKILL");
      await eventually(async () => expect(await muin.folder.store(name)).not.toBe(before));
      const next = await eventually(() => increment(muin, "steady"));
      expect(next).toBeGreaterThan(value ?? 0n);
      value = next;
    }
    await eventually(async () => {
      const { services, stores } = await muin.client(OperationsService).getStatus({});
      expect(services.filter(({ ready }) => !ready)).toEqual([]);
      expect(stores.filter(({ reachable }) => !reachable)).toEqual([]);
      expect((await fetch(`${muin.http}/readyz`)).status).toBe(200);
    });
  });

  // Without the rights of root there is no other user to be, and the other tests run as a normal user anyway.
  test.skipIf(process.getuid?.() !== 0)("runs as a normal user (skipped without the rights of root)", async () => {
    await using folder = await createMuinFolder();
    const redis = await provideRedis({ env: process.env, report: (line) => console.error(line), clock: systemClock });
    const server = join(folder.path, "redis-server"); // Root's cache is closed to others.
    await cp(redis.server, server);
    await chown(folder.path, nobody, nobody);
    await using muin = await startMuin({
      folder,
      wrapper: ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"],
      env: { HOME: folder.path, REDIS_SERVER: server },
    });
    await create(muin, "mine");
    expect(await increment(muin, "mine")).toBe(1n);
    const owners = await Promise.all(
      (await folder.processes()).map(async ({ pid }) => (await stat(`/proc/${pid}`)).uid),
    );
    expect(new Set(owners)).toEqual(new Set([nobody]));
    expect((await stat(folder.dataDir)).mode & 0o777).toBe(0o700);
  });

  const lacksNpm = Bun.which("npm") === null && process.env["CI"] === undefined;
  test.skipIf(lacksNpm)(
    "npm start prints the one line alone, and a signal ends everything (skipped without npm)",
    async () => {
      await using folder = await createMuinFolder();
      const command = ["npm", "--prefix", root, "start", "--silent", "--", "--json", "--data-dir", folder.dataDir];
      await using npm = runProgram([...command, "--http-port", "0", "--grpc-port", "0", "--operator-port", "0"], {
        cwd: folder.path,
      });
      const line = await eventually(
        () => {
          expect(npm.stdout()).toEndWith("\n");
          return npm.stdout();
        },
        { timeoutMs: 30_000 },
      );
      expect(line.trimEnd().split("\n")).toHaveLength(1);
      const { http } = JSON.parse(line) as { http: string };
      expect((await fetch(`${http}/readyz`)).status).toBe(200);
      expectPromised("muin under npm stops", 10_000, (await npm.stop()).tookMs);
      await eventually(async () => expect(await folder.processes()).toEqual([]));
      expect(npm.stdout()).toBe(line);
    },
  );
});
