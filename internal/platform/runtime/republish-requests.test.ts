import { expect, test } from "bun:test";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { RepublishRequestedSchema } from "../../gen/muin/platform/v1/republish_events_pb.ts";
import { systemRandom } from "../clock/random.ts";
import { silentLog } from "../events/redis/redis-broker-fixture.ts";
import { createRecord } from "../events/topics.ts";
import { eventually } from "../testing/eventually.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./republish-requests.ts";

const path = join(import.meta.dir, "republish-requests.ts");

/** An owner of the topics "a" and "b", whom "one" and "two" ask. */
function startOwner({ republishSubscriptions }: typeof real) {
  const clock = createHeldClock();
  const told: string[] = [];
  const republisherOf = (topic: string) => ({ topic, republish: () => Promise.resolve(told.push(topic)) });
  const subscriptions = republishSubscriptions({
    service: "owner",
    askers: ["one", "two"],
    republishers: [republisherOf("a"), republisherOf("b")],
    clock,
    log: silentLog,
  });
  const stopping = new AbortController();
  /** A service asks, on the topic of `from`; so long ago, in milliseconds. */
  const ask = (service: string, topic: string, { from = service, agoMs = 0 } = {}): Promise<string> => {
    const message = create(RepublishRequestedSchema, { service, topic });
    const context = { source: `/muin/${from}`, clock, random: systemRandom, traceparent: "" };
    const record = {
      ...createRecord(RepublishRequestedSchema, message, context),
      timeMs: clock.now() - agoMs,
      data: toBinary(RepublishRequestedSchema, message),
    };
    const subscription = subscriptions.find((one) => one.topic === `republish.${from}`);
    const delivery = { generation: 1, attempt: 1, signal: stopping.signal };
    return subscription === undefined
      ? Promise.resolve("unheard")
      : subscription.handle(record, delivery).then(
          () => "done",
          (error: unknown) => String(error),
        );
  };
  return { clock, told, ask, stop: () => stopping.abort(new Error("stopped")) };
}

test("an asker is obeyed about a topic once a minute, and each topic and asker by itself", async () => {
  const { clock, told, ask, stop } = startOwner(real);
  expect([await ask("one", "a"), await ask("two", "a"), await ask("one", "b")]).toEqual(["done", "done", "done"]);
  expect(told).toEqual(["a", "a", "b"]);
  const sooner = ask("one", "a");
  await eventually(() => expect(clock.asleep().map(Math.round)).toEqual([60_000]));
  expect(told).toHaveLength(3);
  await clock.pass(60_000);
  expect(await sooner).toBe("done");
  expect(told).toEqual(["a", "a", "b", "a"]);
  await clock.pass(61_000);
  expect(await ask("one", "a")).toBe("done");
  expect(told).toHaveLength(5);
  // One that waits ends with its consumer, and comes again.
  const waiting = ask("one", "a");
  stop();
  expect(await waiting).toContain("stopped");
});

test("many requests of one moment are answered by what is told since, not each by itself", async () => {
  const { clock, told, ask } = startOwner(real);
  await ask("one", "a", { agoMs: 301_000 });
  for (let count = 0; count < 100; count++) expect(await ask("one", "a", { agoMs: 301_000 })).toBe("done");
  expect({ told, asleep: clock.asleep() }).toEqual({ told: ["a"], asleep: [] });
});

test("what is asked for in another's name, by nobody known, or of a topic that is not told again does nothing", async () => {
  const { told, ask } = startOwner(real);
  expect(await ask("one", "a", { from: "two" })).toContain("republish.two names another service");
  expect(await ask("three", "a")).toBe("unheard");
  expect(await ask("one", "c")).toBe("done");
  expect(told).toEqual([]);
});

test.each([
  ["obeys at once", "if (restMs > 0) await clock.sleep(restMs, signal);", ""],
  ["obeys askers in turns", "const key = `${asker} ${topic}`;", "const key = topic;"],
])("mutant: an owner that %s is noticed", async (_, from, to) => {
  const { clock, told, ask } = startOwner(await importMutant<typeof real>(path, from, to));
  await ask("one", "a");
  const [again, other] = [ask("one", "a"), ask("two", "a")];
  await Promise.race([Promise.all([again, other]), eventually(() => expect(clock.asleep().length).toBeGreaterThan(0))]);
  expect({ told: told.length, asleep: clock.asleep().length }).not.toEqual({ told: 2, asleep: 1 });
  clock.release();
});
