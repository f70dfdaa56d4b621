import { expect } from "bun:test";
import { eventually } from "../../testing/eventually.ts";
import type { Subscription } from "../broker.ts";
import { newTopic, numbers, event, numberOf, subscription, recordInto, stateOf } from "./contract-fixture.ts";
import type { ContractTests, Seen } from "./bus-fixture.ts";

/** Parking and redrive. */
export const deadLetterTests: ContractTests = {
  "what keeps failing is parked, its key waits in order, and a redrive keeps the order": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    let [isBroken, problem] = [true, "cannot do this one"];
    const parking: Subscription = {
      ...subscription(topic, async (record, delivery) => {
        if (isBroken && record.subject === "bad" && numberOf(record) >= 1) throw new Error(problem);
        await recordInto(seen, "a")(record, delivery);
      }),
      attemptsMax: 2,
    };
    const consumer = bus.subscribe(parking);
    await consumer.start();
    await bus.publish(numbers(0, 4).flatMap((number) => [event(topic, "bad", number), event(topic, "good", number)]));
    const parked = async () =>
      (await bus.deadLetters.list({ service: parking.service, pageSize: 10, pageToken: "" })).deadLetters;
    await eventually(async () => expect(await parked()).toHaveLength(3));
    expect((await parked()).map(({ record, attempts }) => [record.subject, numberOf(record), attempts])).toEqual([
      ["bad", 1, 2],
      ["bad", 2, 0],
      ["bad", 3, 0],
    ]);
    expect((await parked())[0]).toMatchObject({ service: parking.service, reason: "Error: cannot do this one" });
    await eventually(() => expect(seen.filter(({ subject }) => subject === "good")).toHaveLength(4));
    expect(await stateOf(bus, parking)).toMatchObject({ lag: 0, deadLetters: 3 });

    // Failing again keeps them where they are.
    problem = "still not";
    expect(await bus.deadLetters.redrive(parking.service, "bad")).toBe(3);
    await eventually(async () => expect((await parked())[0]?.reason).toBe("Error: still not"));
    expect((await parked()).map(({ record }) => numberOf(record))).toEqual([1, 2, 3]);

    isBroken = false;
    await bus.publish([event(topic, "bad", 4)]);
    await eventually(async () => expect(await parked()).toHaveLength(4));
    expect(await bus.deadLetters.redrive(parking.service, undefined)).toBe(4);
    await bus.publish([event(topic, "bad", 5)]);
    await eventually(() =>
      expect(seen.filter(({ subject }) => subject === "bad").map(({ number }) => number)).toEqual(numbers(0, 6)),
    );
    expect(await parked()).toEqual([]);
    expect(await stateOf(bus, parking)).toMatchObject({ lag: 0, deadLetters: 0, lost: false });
    await consumer.stop();
  },

  "of a redrive that fails at one event what stands behind it goes on waiting, and so does what comes meanwhile":
    async ({ newBus }) => {
      const topic = newTopic();
      const bus = await newBus(topic);
      const seen: Seen[] = [];
      const broken = new Set([0, 2]);
      const [begun, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const parking: Subscription = {
        ...subscription(topic, async (record, delivery) => {
          const number = numberOf(record);
          if (broken.has(number)) throw new Error("not this one");
          if (number === 1) {
            begun.resolve();
            await mayGoOn.promise;
          }
          await recordInto(seen, "a")(record, delivery);
        }),
        attemptsMax: 1,
      };
      const consumer = bus.subscribe(parking);
      await consumer.start();
      const parked = async (): Promise<number[]> =>
        (await bus.deadLetters.list({ service: parking.service, pageSize: 10, pageToken: "" })).deadLetters.map(
          ({ record }) => numberOf(record),
        );
      await bus.publish(numbers(0, 4).map((number) => event(topic, "k", number)));
      await eventually(async () => expect(await parked()).toEqual([0, 1, 2, 3]));
      broken.delete(0);
      expect(await bus.deadLetters.redrive(parking.service, "k")).toBe(4);
      await begun.promise;
      await bus.publish([event(topic, "k", 4)]);
      mayGoOn.resolve();
      await eventually(async () => expect(await parked()).toEqual([2, 3, 4]));
      expect(seen.map(({ number }) => number)).toEqual([0, 1]);
      broken.clear();
      expect(await bus.deadLetters.redrive(parking.service, "k")).toBe(3);
      await eventually(() => expect(seen.map(({ number }) => number)).toEqual(numbers(0, 5)));
      await eventually(async () => expect(await parked()).toEqual([]));
      await consumer.stop();
    },

  "with skip later events of the key go on, and the dead letter is redriven alone": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    let isBroken = true;
    const skipping: Subscription = {
      ...subscription(topic, async (record, delivery) => {
        if (isBroken && numberOf(record) === 1) throw new Error("no");
        await recordInto(seen, "a")(record, delivery);
      }),
      onFailure: "skip",
      attemptsMax: 1,
    };
    const consumer = bus.subscribe(skipping);
    await consumer.start();
    await bus.publish(numbers(0, 4).map((number) => event(topic, "k", number)));
    await eventually(() => expect(seen.map(({ number }) => number)).toEqual([0, 2, 3]));
    isBroken = false;
    expect(await bus.deadLetters.redrive(skipping.service, undefined)).toBe(1);
    await eventually(() => expect(seen.map(({ number }) => number)).toEqual([0, 2, 3, 1]));
    await consumer.stop();
  },

  "dead letters are listed by pages, oldest first, each once": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const failing: Subscription = {
      ...subscription(topic, () => Promise.reject(new Error("no"))),
      attemptsMax: 1,
    };
    const consumer = bus.subscribe(failing);
    await consumer.start();
    await bus.publish(numbers(0, 25).map((number) => event(topic, `key-${number}`, number)));
    await eventually(async () => expect(await stateOf(bus, failing)).toMatchObject({ deadLetters: 25 }));
    const listed: number[] = [];
    const times: number[] = [];
    for (let pageToken = "", pages = 0; pages === 0 || pageToken !== ""; pages++) {
      const page = await bus.deadLetters.list({ service: failing.service, pageSize: 10, pageToken });
      listed.push(...page.deadLetters.map(({ record }) => numberOf(record)));
      times.push(...page.deadLetters.map(({ parkTimeMs }) => parkTimeMs));
      pageToken = page.nextPageToken;
    }
    expect(listed.toSorted((a, b) => a - b)).toEqual(numbers(0, 25));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    const first = await bus.deadLetters.list({ service: failing.service, pageSize: 10, pageToken: "" });
    for (const service of [undefined, "another"]) {
      const foreign = bus.deadLetters.list({ service, pageSize: 10, pageToken: first.nextPageToken });
      expect(await foreign.catch((error: unknown) => error)).toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    }
    for (const pageToken of ["x", "1-1", "99999999999999999999-0 forged", "0-99999999999999999999 forged"]) {
      const forged = bus.deadLetters.list({ service: failing.service, pageSize: 10, pageToken });
      expect(await forged.catch((error: unknown) => error)).toMatchObject({ code: "invalid_argument" });
    }
    await consumer.stop();
  },
};
