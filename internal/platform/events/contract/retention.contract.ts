import { expect } from "bun:test";
import { systemClock } from "../../clock/clock.ts";
import { eventually } from "../../testing/eventually.ts";
import { newTopic, numbers, event, subscription, recordInto, stateOf, take } from "./contract-fixture.ts";
import type { ContractTests, Seen } from "./bus-fixture.ts";
import { expectPromised } from "../../testing/promise.ts";

/** Slow consumers and what is removed. */
export const retentionTests: ContractTests = {
  "a slow, a stuck and a stopped consumer never stop a producer": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const stuck = subscription(topic, () => new Promise<never>(() => undefined), "stuck");
    const slow = subscription(topic, (_, { signal }) => systemClock.sleep(200, signal), "slow");
    const consumers = [bus.subscribe(stuck), bus.subscribe(slow)];
    for (const consumer of consumers) await consumer.start();
    await Promise.all(consumers.map(({ caughtUp }) => caughtUp));
    const total = 5000;
    for (let from = 0; from < total; from += 500) {
      await bus.publish(numbers(from, from + 500).map((number) => event(topic, "k", number)));
    }
    expect((await stateOf(bus, stuck)).lag).toBe(total);
    expect((await stateOf(bus, slow)).lag).toBeGreaterThan(total - 500);
    const stoppingMs = performance.now();
    await Promise.all(consumers.map((consumer) => consumer.stop()));
    expectPromised("consumers that are stuck stop", 10_000, performance.now() - stoppingMs);
  },

  "a consumer behind retention is marked lost and goes on with the oldest record": async ({ newBus }) => {
    const topic = newTopic(1);
    const bus = await newBus(topic);
    const gate = Promise.withResolvers<void>();
    const seen: Seen[] = [];
    const behind = subscription(topic, async (record, delivery) => {
      await gate.promise;
      await recordInto(seen, "a")(record, delivery);
    });
    const consumer = bus.subscribe(behind);
    await consumer.start();
    await consumer.caughtUp;
    let published = 0;
    await bus.publish([event(topic, "k", published++)]);
    const startMs = systemClock.now();
    // Retention removes whole pieces of what is stored: go on until the first records are gone.
    await eventually(
      async () => {
        await bus.publish(numbers(published, published + 500).map((number) => event(topic, "k", number)));
        published += 500;
        const [oldest] = await take(bus.tail(topic.name, { fromStart: true, signal: AbortSignal.timeout(5000) }), 1);
        expect(oldest).toBeGreaterThan(1000);
      },
      { timeoutMs: 15_000 },
    );
    gate.resolve();
    await eventually(async () => {
      await bus.publish([event(topic, "k", published++)]);
      expect(await stateOf(bus, behind)).toMatchObject({ lost: true });
      expect(seen.at(-1)?.number).toBeGreaterThan(1000);
    });
    const { lostSinceMs = Number.NaN } = await stateOf(bus, behind);
    expect(Math.abs(lostSinceMs - startMs)).toBeLessThan(60_000);
    await bus.consumerGroups.settle(behind.service, topic.name);
    expect(await stateOf(bus, behind)).toMatchObject({ lost: false, lostSinceMs });
    const handled = seen.map(({ number }) => number);
    expect(handled).toEqual(handled.toSorted((a, b) => a - b));
    await consumer.stop();
  },
};
