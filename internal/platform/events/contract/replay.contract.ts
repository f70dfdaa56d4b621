import { expect } from "bun:test";
import { systemClock } from "../../clock/clock.ts";
import { eventually } from "../../testing/eventually.ts";
import type { Subscription } from "../broker.ts";
import { newTopic, publishUntilRemoved, numbers, event, numberOf, subscription, stateOf } from "./contract-fixture.ts";
import type { ContractTests } from "./bus-fixture.ts";

/** Replay of a consumer group. */
export const replayTests: ContractTests = {
  "a replay begins a new generation with the oldest record, in order": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: [generation: number, number: number][] = [];
    const again = subscription(topic, async (record, { generation }) => {
      if (generation === 1 && numberOf(record) === 2) throw new Error("not yet");
      seen.push([generation, numberOf(record)]);
    });
    const replayed = { ...again, attemptsMax: 1 };
    const consumer = bus.subscribe(replayed);
    await consumer.start();
    await bus.publish(numbers(0, 4).map((number) => event(topic, "k", number)));
    await eventually(async () => expect(await stateOf(bus, replayed)).toMatchObject({ lag: 0, deadLetters: 2 }));
    expect(await bus.consumerGroups.replay(replayed.service, topic.name)).toBe(2);
    await eventually(() =>
      expect(seen).toEqual([...numbers(0, 2).map((n) => [1, n]), ...numbers(0, 4).map((n) => [2, n])] as never),
    );
    expect(await stateOf(bus, replayed)).toMatchObject({ deadLetters: 0 });
    expect(await bus.consumerGroups.replay("nobody", topic.name).catch((error: unknown) => error)).toMatchObject({
      code: "not_found",
    });
    await consumer.stop();
  },

  "a replay is that of one consumer: another of the topic sees nothing of it": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen = new Map<string, [generation: number, number: number][]>();
    const consumers = ["replayed", "other"].map((service) => {
      const own: [number, number][] = [];
      seen.set(service, own);
      return bus.subscribe(
        subscription(
          topic,
          async (record, { generation }) => void own.push([generation, numberOf(record)]),
          `${service}-${topic.name}`,
        ),
      );
    });
    for (const consumer of consumers) await consumer.start();
    await bus.publish([event(topic, "k", 0)]);
    await eventually(() => expect([...seen.values()]).toEqual([[[1, 0]], [[1, 0]]]));
    expect(await bus.consumerGroups.replay(`replayed-${topic.name}`, topic.name)).toBe(2);
    await eventually(() => expect(seen.get("replayed")).toHaveLength(2));
    await bus.publish([event(topic, "k", 1)]);
    await eventually(() => {
      expect(seen.get("replayed")).toEqual([
        [1, 0],
        [2, 0],
        [2, 1],
      ]);
      expect(seen.get("other")?.at(-1)?.[1]).toBe(1);
    });
    expect(seen.get("other")).toEqual([
      [1, 0],
      [1, 1],
    ]);
    await Promise.all(consumers.map((consumer) => consumer.stop()));
  },

  "a replay in the midst of a long batch ends it, and begins anew": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: [generation: number, number: number][] = [];
    const slow = subscription(topic, async (record, { generation, signal }) => {
      if (generation === 1) await systemClock.sleep(40, signal);
      seen.push([generation, numberOf(record)]);
    });
    const consumer = bus.subscribe(slow);
    await consumer.start();
    // Longer than any pause between two moves of the position.
    await bus.publish(numbers(0, 100).map((number) => event(topic, "k", number)));
    await eventually(() => expect(seen.length).toBeGreaterThan(2));
    expect(await bus.consumerGroups.replay(slow.service, topic.name)).toBe(2);
    await eventually(() =>
      expect(seen.filter(([generation]) => generation === 2).map(([, number]) => number)).toEqual(numbers(0, 100)),
    );
    expect(seen.filter(([generation]) => generation === 1).length).toBeLessThan(90);
    expect(await stateOf(bus, slow)).toMatchObject({ deadLetters: 0, lost: false });
    await consumer.stop();
  },

  "an event that is given up on after a replay is not parked by the old generation: it comes again": async ({
    newBus,
  }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: number[] = [];
    const [begun, outcome] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const failing: Subscription = {
      ...subscription(topic, async (_, { generation }) => {
        if (generation === 1) {
          begun.resolve();
          await outcome.promise;
        }
        seen.push(generation);
      }),
      attemptsMax: 1,
    };
    const consumer = bus.subscribe(failing);
    await consumer.start();
    await bus.publish([event(topic, "k", 0)]);
    await begun.promise;
    expect(await bus.consumerGroups.replay(failing.service, topic.name)).toBe(2);
    outcome.reject(new Error("too late"));
    await eventually(() => expect(seen).toEqual([2]));
    await eventually(async () => expect(await stateOf(bus, failing)).toMatchObject({ lag: 0, deadLetters: 0 }));
    await consumer.stop();
  },

  "a dead letter older than retention that is handled after a replay comes again for the new generation": async ({
    newBus,
  }) => {
    const topic = newTopic();
    const first = await newBus(topic);
    const seen: number[] = [];
    const [begun, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let isBroken = true;
    const parking: Subscription = {
      ...subscription(topic, async (record, { generation }) => {
        if (record.subject !== "old") return;
        if (isBroken) throw new Error("not yet");
        if (generation === 1) {
          begun.resolve();
          await mayGoOn.promise;
        }
        seen.push(generation);
      }),
      attemptsMax: 1,
    };
    const parker = first.subscribe(parking);
    await parker.start();
    await first.publish([event(topic, "old", 0)]);
    await eventually(async () => expect(await stateOf(first, parking)).toMatchObject({ deadLetters: 1 }));
    await parker.stop();
    await first.stop();

    isBroken = false;
    const bus = await newBus({ ...topic, retentionMs: 1 });
    const consumer = bus.subscribe(parking);
    await consumer.start();
    await publishUntilRemoved(bus, topic, "old");
    await bus.deadLetters.redrive(parking.service, "old");
    await begun.promise;
    await bus.consumerGroups.replay(parking.service, topic.name);
    mayGoOn.resolve();
    await eventually(() => expect(seen).toEqual([1, 2]));
    await eventually(async () => expect(await stateOf(bus, parking)).toMatchObject({ deadLetters: 0 }));
    await consumer.stop();
  },
};
