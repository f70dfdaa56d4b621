import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { systemClock, type Clock } from "../clock/clock.ts";
import { eventually } from "../testing/eventually.ts";
import { silentLog } from "../testing/local-stores.ts";
import { createSupervisedProcess, type SupervisedProcess } from "./supervised-process.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muin-supervised-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Ready once the script has made the file "ready"; jitter at its largest, so that pauses are exact. */
function supervise(
  script: string,
  options: { clock?: Clock; stopMsMax?: number; logFile?: string; probe?: () => Promise<void> } = {},
): SupervisedProcess {
  const home = join(folder, crypto.randomUUID()); // What an earlier one was about to do happens elsewhere.
  return createSupervisedProcess({
    name: "server",
    prepare: async () => {
      await mkdir(home, { recursive: true });
      await rm(join(home, "ready"), { force: true });
      return { argv: ["sh", "-c", script], folder: home, env: { PATH: "/usr/bin:/bin" }, user: undefined };
    },
    probe: options.probe ?? (async () => void (await stat(join(home, "ready")))),
    logFile: options.logFile ?? join(folder, "server.log"),
    stopSignals: ["SIGTERM"],
    stopMsMax: options.stopMsMax ?? 10_000,
    clock: options.clock ?? systemClock,
    random: { bytes: (length) => new Uint8Array(length), uuid: () => "", fraction: () => 1 },
    log: silentLog,
  });
}

/** The machine's clock, except that pauses of the supervisor pass at once and are written down. */
function hurriedClock(pauses: number[]): Clock {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic(),
    sleep: (ms, signal) => {
      if (ms < 100 || ms >= 10_000) return systemClock.sleep(ms, signal); // Probes, and the look at the log.
      pauses.push(ms);
      return systemClock.sleep(0, signal);
    },
  };
}

describe("a supervised process", () => {
  test("that never answers is given up, with its last words", async () => {
    const pauses: number[] = [];
    const server = supervise("echo no room >&2; exit 3", { clock: hurriedClock(pauses) });
    expect(await server.start().catch(String)).toBe("Error: server does not start: exit code 3: no room");
    expect(pauses).toEqual([100, 200, 400, 800]);
    expect(server.status()).toMatchObject({ state: "stopped", pid: undefined, restarts: 0 });
    await server.stop();
  });

  test("that ends while it is asked is given up as well, though the question stays open", async () => {
    const server = supervise("exit 3", { clock: hurriedClock([]), probe: () => new Promise<void>(() => undefined) });
    expect(await server.start().catch(String)).toBe("Error: server does not start: exit code 3");
    await server.stop();
  });

  test("that ends after it answered is started again without end, with growing, capped pauses", async () => {
    const pauses: number[] = [];
    const server = supervise("touch ready; sleep 0.05; exit 1", { clock: hurriedClock(pauses) });
    await server.start();
    await eventually(() => expect(pauses.length).toBeGreaterThanOrEqual(8));
    expect(pauses.slice(0, 8)).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(server.status().restarts).toBeGreaterThanOrEqual(8);
    expect(server.status().lastError).toBe("exit code 1");
    await server.stop();
    expect(server.status()).toMatchObject({ state: "stopped", pid: undefined });
  });

  test("is stopped by its signal, and not started again", async () => {
    const server = supervise("trap 'echo ended >> ../ended; exit 0' TERM; touch ready; while :; do sleep 0.01; done");
    await server.start();
    expect(server.status().state).toBe("running");
    await Promise.all([server.stop(), server.stop()]);
    expect(await readFile(join(folder, "ended"), "utf8")).toBe("ended\n");
    expect(server.status()).toMatchObject({ state: "stopped", restarts: 0 });
  });

  test("that ignores its signal is killed when its time is up", async () => {
    const server = supervise("trap '' TERM; touch ready; while :; do sleep 0.01; done", { stopMsMax: 50 });
    await server.start();
    const { pid } = server.status();
    await server.stop();
    expect(await stat(`/proc/${pid}`).catch(() => "gone")).toBe("gone");
  });

  test("is stopped while it starts", async () => {
    const server = supervise("sleep 60");
    const starting = server.start().catch(String);
    await eventually(() => expect(server.status().pid).toBeDefined());
    await server.stop();
    expect(await starting).toBe("Error: server was stopped while it started");
  });

  test("is stopped at whatever moment of its start", async () => {
    for (let turns = 0; turns < 40; turns += 1) {
      const server = supervise("exec sleep 60");
      const starting = server.start().catch(String);
      for (let turn = 0; turn < turns; turn += 1) await setImmediate();
      await server.stop();
      expect(await starting).toBe("Error: server was stopped while it started");
    }
  });

  test("keeps its log within bounds", async () => {
    const logFile = join(folder, "long.log");
    await Bun.write(logFile, "x".repeat(5 * 1024 * 1024));
    const server = supervise("echo fresh; touch ready; exec sleep 60", { logFile });
    await server.start();
    await eventually(async () => expect((await stat(logFile)).size).toBeLessThan(100));
    expect((await stat(`${logFile}.1`)).size).toBeGreaterThan(4 * 1024 * 1024);
    await server.stop();
  });
});
