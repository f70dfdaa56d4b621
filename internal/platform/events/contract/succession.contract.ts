import { expect } from "bun:test";
import { systemClock } from "../../clock/clock.ts";
import { eventually } from "../../testing/eventually.ts";
import {
  newTopic,
  numbers,
  event,
  subscription,
  recordInto,
  expectFirstInOrder,
  inProcesses,
} from "./contract-fixture.ts";
import type { ContractTests, Seen } from "./bus-fixture.ts";

/** Consumers and servers that die, pause and come back. */
export const successionTests: ContractTests = {
  "a holder that is killed is succeeded; what it had not finished comes again": async ({ newBus, newWorkers }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const subjects = numbers(0, 8).map(String);
    await bus.publish(numbers(0, 60).flatMap((number) => subjects.map((key) => event(topic, key, number))));
    const workers = newWorkers("consumer", topic, "killed");
    const first = workers.start(60_000); // In its first events when it is killed.
    await eventually(async () => expect(await workers.lines()).not.toEqual([]), inProcesses);
    first.kill("SIGKILL");
    await first.exited;
    const second = workers.start(0);
    await eventually(async () => {
      const states = await bus.consumerGroups.states();
      expect(states.find(({ service }) => service === "killed")?.lag).toBe(0);
    }, inProcesses);
    expectFirstInOrder(await workers.lines(), subjects, 60);
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  },

  "a holder that was paused and wakes changes nothing: first occurrences stay in order": async ({
    newBus,
    newWorkers,
  }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const subjects = numbers(0, 4).map(String);
    const workers = newWorkers("consumer", topic, "paused");
    await bus.publish(numbers(0, 100).flatMap((number) => subjects.map((key) => event(topic, key, number))));
    const first = workers.start(500); // It has much left of what it has read.
    await eventually(async () => expect(await workers.lines()).not.toEqual([]), inProcesses);
    first.kill("SIGSTOP");
    const second = workers.start(0);
    const by = async (): Promise<number> => new Set((await workers.lines()).map((line) => line.by)).size;
    await eventually(async () => expect(await by()).toBe(2), inProcesses);
    await eventually(async () => expectFirstInOrder(await workers.lines(), subjects, 100), inProcesses);
    first.kill("SIGCONT");
    await bus.publish(numbers(100, 105).flatMap((number) => subjects.map((key) => event(topic, key, number))));
    await eventually(async () => expectFirstInOrder(await workers.lines(), subjects, 105), inProcesses);
    // The position is the successor's: once all is handled it stays so.
    await eventually(async () => {
      const states = await bus.consumerGroups.states();
      expect(states.find(({ service }) => service === "paused")?.lag).toBe(0);
    }, inProcesses);
    for (const worker of [first, second]) worker.kill("SIGTERM");
    expect(await Promise.all([first.exited, second.exited])).toEqual([0, 0]);
  },

  "the server is killed under load: nothing acknowledged is lost, all go on by themselves": async ({
    newBus,
    server,
  }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const seen: Seen[] = [];
    const consumer = bus.subscribe(subscription(topic, recordInto(seen, "a")));
    await consumer.start();
    await consumer.caughtUp;
    const subjects = ["x", "y", "z"];
    let acknowledged = 0;
    const stopping = new AbortController();
    const load = (async () => {
      while (!stopping.signal.aborted) {
        const batch = numbers(acknowledged, acknowledged + 10).flatMap((n) =>
          subjects.map((key) => event(topic, key, n)),
        );
        try {
          await bus.publish(batch);
          acknowledged += 10;
        } catch {
          await systemClock.sleep(10); // As a relay does: the same again.
        }
      }
    })();
    for (let crashes = 0; crashes < 3; crashes++) {
      const before = acknowledged;
      await eventually(() => expect(acknowledged).toBeGreaterThan(before + 50));
      await server.crash();
    }
    const after = acknowledged;
    await eventually(() => expect(acknowledged).toBeGreaterThan(after));
    stopping.abort();
    await load;
    await eventually(() => expectFirstInOrder(seen, subjects, acknowledged));
    await consumer.stop();
  },
};
