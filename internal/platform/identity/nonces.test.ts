import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { coordinationRights } from "../catalog/bus-rights.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import type { MuinError } from "../errors/muin-error.ts";
import { openRedis } from "../redis/open-redis.ts";
import { createMetrics } from "../telemetry/create-metrics.ts";
import type { Logger } from "../telemetry/logger.ts";
import { eventually } from "../testing/eventually.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { startRedis, type TestRedis } from "../testing/redis.ts";
import { createSignatureReader } from "./call-signature.ts";
import * as nonces from "./nonces.ts";
import { deviceKeyOf, signCall, type SignedCall } from "./signed-call.ts";

setDefaultTimeout(30_000);

const method = "/muin.identity.v1.DeviceService/IssueDeviceToken";
const body = new TextEncoder().encode("{}");
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const device = deviceKeyOf(publicKey.export({ format: "jwk" }).x ?? "");

let server: TestRedis;
let url: string;
beforeAll(async () => {
  server = await startRedis();
  // No more than what a process of a service has there.
  await using admin = await connected(server.url);
  await admin.acl("SETUSER", "door", ">secret", ...coordinationRights("door", { services: ["door"] }).rules);
  const own = new URL(server.url);
  [own.username, own.password] = ["door", "secret"];
  url = own.href;
});
afterAll(() => server.stop());

async function connected(at: string) {
  const redis = openRedis({ url: at, name: "test" });
  await redis.start();
  return Object.assign(redis.client, { [Symbol.asyncDispose]: () => redis.stop() });
}

/** What is exercised: the modules themselves, or with one rule broken. */
interface Parts {
  readonly openNonces: typeof nonces.openNonces;
  readonly createSignatureReader: typeof createSignatureReader;
}
const parts: Parts = { ...nonces, createSignatureReader };

/** A process that takes signed calls. */
async function startInstance({ openNonces, createSignatureReader: create }: Parts, service = "door") {
  const lines: string[] = [];
  const write = (message: string): void => void lines.push(message);
  const log: Logger = { debug: write, info: write, warn: write, error: write, child: () => log };
  const silent: Logger = { ...log, info: () => {}, warn: () => {}, child: () => silent };
  const metrics = createMetrics();
  const shared = openNonces(url, { instance: "one", clock: systemClock, random: systemRandom, log: silent });
  await shared.start();
  const reader = create({ clock: systemClock, nonces: shared, log, metrics });
  return {
    lines,
    metrics,
    /** "SHARED" or "LOCAL" when it was taken, else the reason. */
    take: async (call: SignedCall): Promise<string> => {
      try {
        const signature = reader.read(signCall(privateKey, call), method, body, service);
        await signature.prove(device);
        return signature.replayCheck ?? "unknown";
      } catch (error) {
        return (error as MuinError).reason;
      }
    },
    [Symbol.asyncDispose]: () => shared.stop(),
  };
}

const newCall = (agoMs = 0): SignedCall => ({
  method,
  body,
  timeMs: systemClock.now() - agoMs,
  nonce: systemRandom.uuid(),
});

async function replayElsewhere(with_: Parts): Promise<void> {
  await using one = await startInstance(with_);
  await using two = await startInstance(with_);
  const captured = newCall();
  const answers = [await one.take(captured), await two.take(captured), await one.take(captured)];
  expect(answers).toEqual(["SHARED", "SIGNATURE_REPLAYED", "SIGNATURE_REPLAYED"]);
  const raced = newCall();
  const race = await Promise.all([one.take(raced), two.take(raced)]);
  expect(race.toSorted()).toEqual(["SHARED", "SIGNATURE_REPLAYED"]);
}

async function replayAfterRestart(with_: Parts): Promise<void> {
  const captured = newCall();
  {
    await using before = await startInstance(with_);
    expect(await before.take(captured)).toBe("SHARED");
  }
  await using after = await startInstance(with_);
  expect(await after.take(captured)).toBe("SIGNATURE_REPLAYED");
  expect(await after.take(newCall(5000))).toBe("SHARED"); // Signed before the start, and nobody had it.
}

/** `away` takes the server away and brings it back when told. */
async function whileAway(with_: Parts, away: () => Promise<() => Promise<void>>): Promise<void> {
  await using one = await startInstance(with_);
  expect(await one.take(newCall())).toBe("SHARED");
  const back = await away();
  try {
    const early = newCall(5000);
    const captured = newCall();
    expect(await one.take(captured)).toBe("LOCAL");
    expect(await one.take(captured)).toBe("SIGNATURE_REPLAYED");
    expect(await one.take(early)).toBe("SIGNATURE_REPLAYED");
    expect(await one.take(newCall())).toBe("LOCAL");
    expect(one.lines).toEqual(["signed calls are compared with those of this process alone"]);
  } finally {
    await back();
  }
  await eventually(async () => expect(await one.take(newCall())).toBe("SHARED"));
  expect(one.lines).toEqual([
    "signed calls are compared with those of this process alone",
    "signed calls are compared with those of other processes again",
  ]);
  expect(await one.metrics.render()).toContain('muin_signed_calls_total{replay_check="LOCAL"}');
}

const stopped = async () => {
  await server.kill("SIGSTOP");
  return () => server.kill("SIGCONT");
};
const refused = async () => {
  await using admin = await connected(server.url);
  await admin.acl("SETUSER", "door", "off");
  await admin.client("KILL", "USER", "door");
  return async () => {
    await using again = await connected(server.url);
    await again.acl("SETUSER", "door", "on");
  };
};

describe("signed calls of several instances", () => {
  test("one that came at another instance is refused, also when both come at once", () => replayElsewhere(parts));

  test("one that came before a restart is refused", () => replayAfterRestart(parts));

  test("the Redis does not answer: each instance judges for itself, and takes nothing from before its start", () =>
    whileAway(parts, stopped));

  test("the Redis lets nobody in: the same", () => whileAway(parts, refused));

  test("a call waits for a Redis that does not answer for a quarter of a second", async () => {
    const asked: number[] = [];
    const clock = {
      ...systemClock,
      sleep: async (ms: number) => void asked.push(ms),
    };
    const away = nonces.openNonces(url, { instance: "one", clock, random: systemRandom, log: silentLog });
    await away.start();
    await server.kill("SIGSTOP");
    try {
      const waiting = away.take({ service: "door", x: device.x, nonce: "0123456789abcdef" });
      expect(await waiting.catch((error: unknown) => String(error))).toContain("no answer within 250 ms");
      const waits = (): number => asked.filter((ms) => ms === 250).length;
      expect(waits()).toBe(1);
      // The next one is told at once, as long as nothing was answered.
      const next = away.take({ service: "door", x: device.x, nonce: "0123456789abcdeg" });
      expect(await next.catch((error: unknown) => String(error))).toContain("no answer");
      expect(waits()).toBe(1);
    } finally {
      await server.kill("SIGCONT");
      await away.stop();
    }
  });

  test("a nonce is kept for 90 s, under a key of the service that was called", async () => {
    await using one = await startInstance(parts);
    const call = newCall();
    expect(await one.take(call)).toBe("SHARED");
    await using admin = await connected(server.url);
    const leftMs = await admin.pttl(`coordination:nonce:door:${device.x}:${call.nonce}`);
    expect(leftMs).toBeGreaterThan(60_000);
    expect(leftMs).toBeLessThanOrEqual(90_000);
    await using foreign = await startInstance(parts, "another");
    expect(await foreign.take(newCall())).toBe("LOCAL"); // Its account has no right to the calls of another service.
  });
});

const silentLog: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silentLog };

describe("a broken rule is noticed", () => {
  const checks: Readonly<Record<string, (with_: Parts) => Promise<void>>> = {
    replayElsewhere,
    replayAfterRestart,
    stopped: (with_) => whileAway(with_, stopped),
  };
  test.each([
    ["each process has its own nonces", "nonces.ts", ":${nonce}`", ":${nonce}${performance.now()}`", "replayElsewhere"],
    ["a nonce is taken once", "nonces.ts", ', "NX"', "", "replayAfterRestart"],
    ["what others took is refused", "call-signature.ts", "isNew === false ||", "", "replayElsewhere"],
    ["nothing from before the start", "call-signature.ts", "call.timeMs < startMs", "false", "stopped"],
    ["the record says that it was judged alone", "call-signature.ts", '? "LOCAL"', '? "SHARED"', "stopped"],
    ["nobody is refused since the store is away", "call-signature.ts", "isAway = true;", "throw error;", "stopped"],
  ])("mutant: %s", async (_, file, from, to, check) => {
    const mutant = await importMutant<Partial<Parts>>(join(import.meta.dir, file), from, to);
    await caught(() => checks[check]!({ ...parts, ...mutant }));
  });
});
