import { expect } from "bun:test";
import { systemClock } from "../../clock/clock.ts";
import { storeErrors } from "../../errors/store-errors.ts";
import { eventually } from "../../testing/eventually.ts";
import type { Subscription } from "../broker.ts";
import {
  newTopic,
  numbers,
  event,
  subscription,
  refuseOne,
  recordInto,
  stateOf,
  expectFirstInOrder,
  hourMs,
  numberOf,
  take,
  publishUntilRemoved,
} from "./contract-fixture.ts";
import type { ContractTests, Seen, TestBus } from "./bus-fixture.ts";
import type { Topic } from "../topics.ts";

/** An instance whose places are kept from one run to the next. */
function createKeptInstance(bus: TestBus, topic: Topic, kept: Map<number, string> = new Map()) {
  let drops = 0;
  /** How many events had been seen when a place was kept last. */
  let keptAt = -1;
  const subscriptionInto = (seen: Seen[]): Subscription => ({
    ...subscription(topic, recordInto(seen, "")),
    kind: "everyInstance",
    backMs: 60_000,
    onTrimmed: async () => void drops++,
    places: {
      placeOf: (partition) => kept.get(partition),
      moved: (partition, place) => {
        kept.set(partition, place);
        keptAt = seen.length;
      },
    },
  });
  return {
    subscription: subscriptionInto,
    drops: () => drops,
    /** The same one on another store. */
    on: (elsewhere: TestBus, other: Topic) => createKeptInstance(elsewhere, other, kept),
    /** Runs until it has seen so many events, those of `meanwhile` included, and kept its place; returns all that it saw, by number. */
    run: async (count: number, meanwhile: () => Promise<unknown> = async () => {}): Promise<readonly number[]> => {
      const seen: Seen[] = [];
      keptAt = -1;
      const consumer = bus.subscribe(subscriptionInto(seen));
      await consumer.start();
      await consumer.caughtUp;
      await meanwhile();
      await eventually(() => expect([seen.length, keptAt]).toEqual([count, count]));
      await consumer.stop();
      return seen.map(({ number }) => number).toSorted((a, b) => a - b);
    },
  };
}

/** How consumers take part in a topic: sharing, positions in time, handling together. */
export const consumerTests: ContractTests = {
  "a group shares the work, and each instance of the other kind gets all": async ({ newBus }) => {
    const topic = newTopic();
    const [first, second] = [await newBus(topic), await newBus(topic)];
    const [shared, all]: [Seen[], Seen[]] = [[], []];
    const of = (by: string): Subscription => subscription(topic, recordInto(shared, by), "sharing");
    const every = (by: string): Subscription => ({
      ...subscription(topic, recordInto(all, by)),
      kind: "everyInstance",
    });
    const consumers = [
      first.subscribe(of("first")),
      second.subscribe(of("second")),
      first.subscribe(every("first")),
      second.subscribe(every("second")),
    ];
    for (const consumer of consumers) await consumer.start();
    await Promise.all(consumers.map(({ caughtUp }) => caughtUp));
    const subjects = numbers(0, 64).map(String);
    let count = 0;
    // Both take part once the first has handed over its share.
    await eventually(async () => {
      await first.publish(subjects.map((key) => event(topic, key, count)));
      count++;
      expect(new Set(shared.map(({ by }) => by)).size).toBe(2);
    });
    await eventually(() => {
      expect(new Set(shared.map(({ subject, number }) => `${subject} ${number}`)).size).toBe(count * 64);
      expect(all).toHaveLength(2 * count * 64);
    });
    expectFirstInOrder(shared, subjects, count);
    for (const by of ["first", "second"]) {
      expectFirstInOrder(
        all.filter((one) => one.by === by),
        subjects,
        count,
      );
    }
    await Promise.all(consumers.map((consumer) => consumer.stop()));
  },

  "everyInstance begins so far back as it says and is caught up after it": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    await bus.publish(numbers(0, 20).map((number) => event(topic, "k", number)));
    const [back, fresh]: [Seen[], Seen[]] = [[], []];
    const since = (backMs: number, into: Seen[]): Subscription => ({
      ...subscription(topic, recordInto(into, "a")),
      kind: "everyInstance",
      backMs,
    });
    const consumers = [bus.subscribe(since(60_000, back)), bus.subscribe(since(0, fresh))];
    const publishedAtMs = systemClock.now();
    await eventually(() => expect(systemClock.now()).toBeGreaterThan(publishedAtMs + 1)); // Later than the newest record.
    for (const consumer of consumers) await consumer.start();
    await Promise.all(consumers.map(({ caughtUp }) => caughtUp));
    expect(back.map(({ number }) => number)).toEqual(numbers(0, 20));
    await bus.publish([event(topic, "k", 20)]);
    await eventually(() => expect(fresh.map(({ number }) => number)).toEqual([20]));
    await Promise.all(consumers.map((consumer) => consumer.stop()));
  },

  "an instance reads on from where it came, though its process ended": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const instance = createKeptInstance(bus, topic);
    await bus.publish(numbers(0, 10).map((number) => event(topic, `${number % 3}`, number)));
    expect(await instance.run(10)).toEqual(numbers(0, 10));
    await bus.publish(numbers(10, 15).map((number) => event(topic, `${number % 3}`, number)));
    expect(await instance.run(5)).toEqual(numbers(10, 15));
    expect(await instance.run(0)).toEqual([]);
    await bus.publish([event(topic, "0", 15)]);
    expect(await instance.run(1)).toEqual([15]);
    expect(instance.drops()).toBe(0);
  },

  "an instance hears that what followed its place was removed, and reads on as one that has none": async ({
    newBus,
  }) => {
    const topic = newTopic(1);
    const bus = await newBus(topic);
    const instance = createKeptInstance(bus, topic);
    expect(await instance.run(1, () => bus.publish([event(topic, "k", 0)]))).toEqual([0]);
    await publishUntilRemoved(bus, topic, "k");
    expect(instance.drops()).toBe(0);
    const consumer = bus.subscribe(instance.subscription([]));
    await consumer.start();
    await eventually(() => expect(instance.drops()).toBe(1));
    await consumer.stop();
  },

  "a place of another store is none": async ({ newBus }) => {
    const [topic, other] = [newTopic(), newTopic()];
    const bus = await newBus(topic);
    const instance = createKeptInstance(bus, topic);
    await bus.publish(numbers(0, 10).map((number) => event(topic, "k", number)));
    expect(await instance.run(10)).toEqual(numbers(0, 10));
    const elsewhere = await newBus(other);
    await elsewhere.publish(numbers(0, 3).map((number) => event(other, "k", number)));
    const moved = instance.on(elsewhere, other);
    expect(await moved.run(3)).toEqual(numbers(0, 3));
    expect(moved.drops()).toBe(1);
  },

  "what waits is handled together, in order; where that fails, each by itself": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const together: number[] = [];
    const seen: Seen[] = [];
    const many: Subscription = {
      ...subscription(topic, async (record, delivery) => {
        refuseOne([record]);
        await recordInto(seen, "alone")(record, delivery);
      }),
      attemptsMax: 2,
      handleTogether: async (records, delivery) => {
        refuseOne(records);
        together.push(records.length);
        for (const record of records) await recordInto(seen, "together")(record, delivery);
      },
    };
    await bus.publish(numbers(0, 40).map((number) => event(topic, "good", number)));
    const consumer = bus.subscribe(many);
    await consumer.start();
    await eventually(() => expect(seen).toHaveLength(40));
    expect(Math.max(...together)).toBeGreaterThan(1);
    expectFirstInOrder(seen, ["good"], 40);

    await bus.publish(numbers(0, 4).flatMap((number) => [event(topic, "bad", number), event(topic, "other", number)]));
    await eventually(async () => expect(await stateOf(bus, many)).toMatchObject({ lag: 0, deadLetters: 3 }));
    await bus.publish([event(topic, "bad", 4), event(topic, "bad", 5)]);
    await eventually(async () => expect(await stateOf(bus, many)).toMatchObject({ lag: 0, deadLetters: 5 }));
    expect(seen.filter(({ subject }) => subject === "bad").map(({ number }) => number)).toEqual([0]);
    expectFirstInOrder(seen, ["good"], 40);
    expectFirstInOrder(seen, ["other"], 4);
    await consumer.stop();
  },

  "a group that gathers handles together what comes in its pause, and a pause holds up no stop": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    const rounds: number[] = [];
    const gathering: Subscription = {
      ...subscription(topic, recordInto([], "alone")),
      service: "gathering",
      gatherMs: hourMs,
      handleTogether: (records) => {
        rounds.push(records.length);
        return Promise.resolve();
      },
    };
    const consumers = [bus.subscribe(gathering), bus.subscribe(subscription(topic, recordInto(seen, "at once")))];
    for (const consumer of consumers) await consumer.start();
    await bus.publish([event(topic, "a", 0)]);
    await eventually(() => expect([rounds, seen.length]).toEqual([[1], 1]));
    for (const number of numbers(1, 6)) {
      await bus.publish([event(topic, "a", number)]);
      await eventually(() => expect(seen).toHaveLength(number + 1)); // Whoever does not gather has it.
    }
    for (const consumer of consumers) await consumer.stop();
    expect(rounds).toEqual([1]);
    const successor = bus.subscribe(gathering);
    await successor.start();
    await eventually(() => expect(rounds).toEqual([1, 5]));
    await successor.stop();
  },

  "a handler that cannot work, since something it needs is away, goes on trying and parks nothing": async ({
    newBus,
  }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const attempts: number[] = [];
    const waiting: Subscription = {
      ...subscription(topic, async (_, { attempt }) => {
        attempts.push(attempt);
        if (attempt < 5) throw storeErrors.unavailable();
      }),
      attemptsMax: 2,
    };
    const consumer = bus.subscribe(waiting);
    await consumer.start();
    await bus.publish([event(topic, "k", 0)]);
    await eventually(async () => expect(await stateOf(bus, waiting)).toMatchObject({ lag: 0, deadLetters: 0 }));
    expect(attempts).toEqual([1, 2, 3, 4, 5]);
    await consumer.stop();
  },

  "an instance hears that events were removed before it had handled them, then goes on; one that kept up hears nothing":
    async ({ newBus }) => {
      const topic = newTopic(1);
      const bus = await newBus(topic);
      const gate = Promise.withResolvers<void>();
      const told: string[] = [];
      const handled: number[] = [];
      const kept: number[] = [];
      const drops = { kept: 0 };
      const every = (handle: Subscription["handle"], onTrimmed: () => Promise<void>): Subscription => ({
        ...subscription(topic, handle),
        kind: "everyInstance",
        backMs: 60_000,
        onTrimmed,
      });
      let hasFailed = false;
      const behind = every(
        async (record) => {
          await gate.promise;
          handled.push(numberOf(record));
        },
        async () => {
          told.push(`after ${handled.length > 0 ? "some" : "none"}`);
          if (hasFailed) return;
          hasFailed = true;
          throw new Error("not yet");
        },
      );
      const keepsUp = every(
        async (record) => void kept.push(numberOf(record)),
        async () => void drops.kept++,
      );
      const consumers = [bus.subscribe(behind), bus.subscribe(keepsUp)];
      await bus.publish([event(topic, "k", 0)]);
      for (const consumer of consumers) await consumer.start();
      await consumers[1]?.caughtUp;
      let published = 1;
      await eventually(
        async () => {
          await bus.publish(numbers(published, published + 500).map((number) => event(topic, "k", number)));
          published += 500;
          const [oldest] = await take(bus.tail(topic.name, { fromStart: true, signal: AbortSignal.timeout(5000) }), 1);
          expect(oldest).toBeGreaterThan(1500);
        },
        { timeoutMs: 20_000 },
      );
      expect(told).toEqual([]);
      gate.resolve();
      await eventually(() => expect(told).toHaveLength(2)); // The first time it could not.
      await eventually(async () => {
        await bus.publish([event(topic, "k", published++)]);
        expect(handled.at(-1)).toBeGreaterThan(published - 10);
      });
      expect(handled).toEqual(handled.toSorted((a, b) => a - b));
      const missedNone = kept.every((number, index) => number === index);
      expect({ missedNone, drops: drops.kept > 0 }).not.toEqual({ missedNone: true, drops: true });
      await Promise.all(consumers.map((consumer) => consumer.stop()));
    },
};
