import { expect } from "bun:test";
import type { EventRecord } from "../../service/event-record.ts";
import { eventually } from "../../testing/eventually.ts";
import {
  newTopic,
  numbers,
  event,
  numberOf,
  subscription,
  recordInto,
  stateOf,
  take,
  expectFirstInOrder,
  unwantedType,
  happenedType,
} from "./contract-fixture.ts";
import type { ContractTests, Seen } from "./bus-fixture.ts";

/** What is published arrives, in order per key; tails and heartbeats. */
export const orderTests: ContractTests = {
  "a record arrives as it was published": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const record: EventRecord = {
      id: "id-1",
      source: "/muin/test",
      type: happenedType,
      subject: "방문자 1",
      topic: topic.name,
      timeMs: 1_700_000_000_123,
      epoch: 3,
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      data: new Uint8Array([0, 13, 10, 255, 128, 36]),
    };
    const got: EventRecord[] = [];
    const consumer = bus.subscribe(subscription(topic, async (event) => void got.push(event)));
    await consumer.start();
    await bus.publish([record]);
    await eventually(() => expect(got).toEqual([record]));
    await consumer.stop();
  },

  "per key, first occurrences come in order; repeats carry the same id": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    const consumer = bus.subscribe(subscription(topic, recordInto(seen, "a")));
    await consumer.start();
    const subjects = ["a", "b", "c", "d", "e"];
    for (let from = 0; from < 200; from += 40) {
      const batch = numbers(from, from + 40).flatMap((number) => subjects.map((key) => event(topic, key, number)));
      await bus.publish(batch);
      await bus.publish(batch); // A relay that did not hear the answer says it again.
    }
    await eventually(() => expect(seen).toHaveLength(2 * 200 * subjects.length));
    expectFirstInOrder(seen, subjects, 200);
    await consumer.stop();
  },

  "events of one key are handled one at a time, in order": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    const running = new Map<string, number>();
    const consumer = bus.subscribe(
      subscription(topic, async (record, delivery) => {
        const atOnce = (running.get(record.subject) ?? 0) + 1;
        running.set(record.subject, atOnce);
        await new Promise((resolve) => void setImmediate(resolve)); // Time for others to begin.
        if (atOnce === 1) await recordInto(seen, "a")(record, delivery);
        running.set(record.subject, atOnce - 1);
      }),
    );
    await bus.publish(numbers(0, 20).flatMap((number) => ["a", "b"].map((key) => event(topic, key, number))));
    await consumer.start();
    await eventually(() => expectFirstInOrder(seen, ["a", "b"], 20));
    await consumer.stop();
  },

  "a call with very many records keeps their order": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    const consumer = bus.subscribe(subscription(topic, recordInto(seen, "a")));
    await consumer.start();
    const subjects = ["a", "b"];
    await bus.publish(numbers(0, 1500).flatMap((number) => subjects.map((key) => event(topic, key, number))));
    await eventually(() => expect(seen).toHaveLength(3000));
    expectFirstInOrder(seen, subjects, 1500);
    await consumer.stop();
  },

  "records of other types are acknowledged unseen": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    const wanted = subscription(topic, recordInto(seen, "a"));
    const consumer = bus.subscribe(wanted);
    await consumer.start();
    await bus.publish([event(topic, "k", 0, unwantedType), event(topic, "k", 1)]);
    await eventually(async () => {
      expect(seen.map(({ number }) => number)).toEqual([1]);
      expect(await stateOf(bus, wanted)).toMatchObject({ lag: 0 });
    });
    await consumer.stop();
  },

  "a tail shows what is stored, from the start or from now on, and ends by its signal": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    await bus.publish(numbers(0, 3).map((number) => event(topic, "k", number)));
    const stop = new AbortController();
    const all = take(bus.tail(topic.name, { fromStart: true, signal: stop.signal }), 5);
    const fresh = bus.tail(topic.name, { fromStart: false, signal: stop.signal })[Symbol.asyncIterator]();
    const first = fresh.next();
    let number = 3;
    // The tail begins when it has asked where the end is: publish until something came.
    let next: IteratorResult<EventRecord> | undefined;
    void first.then((result) => (next = result));
    await eventually(async () => {
      await bus.publish([event(topic, "k", number++)]);
      expect(next).toBeDefined();
    });
    expect(numberOf(next?.value as EventRecord)).toBeGreaterThanOrEqual(3);
    expect(await all).toEqual(numbers(0, 5));
    stop.abort();
    while ((await fresh.next()).done !== true);
  },

  "heartbeats are heard": async ({ newBus }) => {
    const bus = await newBus();
    await eventually(() => expect(bus.heartbeatReceivedAt()).toBeGreaterThan(0));
    const heard = bus.heartbeatReceivedAt();
    await eventually(() => expect(bus.heartbeatReceivedAt()).toBeGreaterThan(heard));
  },
};
