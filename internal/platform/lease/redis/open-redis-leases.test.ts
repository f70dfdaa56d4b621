import { describe, expect, test } from "bun:test";
import { coordinationRights } from "../../catalog/bus-rights.ts";
import { systemClock } from "../../clock/clock.ts";
import { openRedis } from "../../redis/open-redis.ts";
import type { Skip } from "../../testing/contract.ts";
import { eventually } from "../../testing/eventually.ts";
import { createHeldClock } from "../../testing/held-clock.ts";
import { startRedis } from "../../testing/redis.ts";
import { createSteppableClock, lacksSteppableClock } from "../../testing/steppable-clock.ts";
import { describeLeases } from "../contract/leases.contract.ts";
import type { OpenLeases } from "../leases.ts";
import { connectLeases } from "./leases-fixture.ts";
import { expectPromised } from "../../testing/promise.ts";

const skip: readonly Skip[] = [];

describeLeases(
  "Leases on Redis",
  async () => {
    const server = await startRedis({ appendfsync: "always" });
    return {
      createLeases: (instance) => connectLeases(server.url, instance),
      crash: async () => {
        await server.kill("SIGKILL");
        await server.restart();
      },
      [Symbol.asyncDispose]: () => server.stop(),
    };
  },
  { skip },
);

test("Redis skips no test of the contract", () => {
  expect(skip).toEqual([]);
});

/** Notes the number of each term. */
const hold = (leases: OpenLeases, numbers: number[], lease = "one") =>
  leases.leaseholder(lease, ({ number }, signal) => {
    numbers.push(number);
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  });

describe("a Redis of leases", () => {
  test.skipIf(lacksSteppableClock)(
    "a lease ends also when the server's clock has stepped back an hour (skipped without libfaketime)",
    async () => {
      await using clock = await createSteppableClock();
      await using server = await startRedis({ appendfsync: "no", clock });
      // The first never renews its lease, as if it had been killed.
      const first = connectLeases(server.url, "first", createHeldClock());
      const second = connectLeases(server.url, "second");
      const numbers: number[] = [];
      const [one, other] = [hold(first, numbers), hold(second, numbers)];
      await first.start();
      await one.start();
      await eventually(() => expect(numbers).toEqual([1]));
      await clock.step(-3600);
      await second.start();
      await other.start();
      await eventually(() => expect(numbers).toEqual([1, 2]));
      await Promise.all([one.stop(), other.stop()]);
      await Promise.all([first.stop(), second.stop()]);
    },
  );

  test("a holder that never renews its lease is succeeded", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const first = connectLeases(server.url, "first", createHeldClock());
    const second = connectLeases(server.url, "second");
    const numbers: number[] = [];
    const [one, other] = [hold(first, numbers), hold(second, numbers)];
    await first.start();
    await one.start();
    await eventually(() => expect(numbers).toEqual([1]));
    await second.start();
    await other.start();
    await eventually(() => expect(numbers).toEqual([1, 2]));
    await Promise.all([one.stop(), other.stop()]);
    await Promise.all([first.stop(), second.stop()]);
  });

  test("a holder that cannot renew its lease is told", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const leases = connectLeases(server.url, "cut off");
    await leases.start();
    const told = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const one = leases.leaseholder("one", (_, signal) => {
      signal.addEventListener("abort", () => told.resolve(), { once: true });
      begun.resolve();
      return told.promise;
    });
    await one.start();
    await begun.promise;
    let isTold = false;
    void told.promise.then(() => (isTold = true));
    await server.kill("SIGSTOP");
    await eventually(() => expect(isTold).toBe(true));
    await one.stop();
    await leases.stop();
  });

  test("a lease that was given up is free at once", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    const leases = connectLeases(server.url, "first");
    await leases.start();
    const numbers: number[] = [];
    const one = hold(leases, numbers);
    await one.start();
    await eventually(() => expect(numbers).toEqual([1]));
    await one.stop();
    expect(await redis.client.hget("coordination:lease:one", "until")).toBe("0");
    await leases.stop();
    await redis.stop();
  });

  test("everything lies under one prefix, and its user needs no more than that", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    await redis.client.acl(
      "SETUSER",
      "leases",
      ">secret",
      ...coordinationRights("leases", { services: ["one"] }).rules,
    );
    const url = new URL(server.url);
    [url.username, url.password] = ["leases", "secret"];
    const leases = connectLeases(url.href, "acl");
    await leases.start();
    const numbers: number[] = [];
    const one = hold(leases, numbers, "one:task");
    await one.start();
    await eventually(() => expect(numbers).toEqual([1]));
    await leases.verify({ lease: "one:task", number: 1 });
    expect(await redis.client.keys("*")).toEqual(["coordination:lease:one:task"]);
    await leases.verify({ lease: "two:task", number: 1 }).then(
      () => expect.unreachable("it may look at another service's"),
      (error: unknown) => expect(String(error)).toContain("NOPERM"),
    );
    await one.stop();
    await leases.stop();
    await redis.stop();
  });

  test("the server away: start and stop do not hang, a term cannot be known, and leases are taken when it comes", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    await server.kill("SIGKILL");
    const leases = connectLeases(server.url, "away");
    const numbers: number[] = [];
    const one = hold(leases, numbers);
    await leases.start();
    await one.start();
    expect(await leases.verify({ lease: "one", number: 1 }).catch((error: unknown) => error)).toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
    await server.restart();
    await eventually(() => expect(numbers).toEqual([1]));
    await server.kill("SIGSTOP"); // Away without closing its connections.
    const stoppingMs = systemClock.monotonic();
    await one.stop();
    await leases.stop();
    expectPromised("leases stop while their server stands still", 10_000, systemClock.monotonic() - stoppingMs);
  });
});
