import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Component } from "../lifecycle/component.ts";
import { systemClock } from "../clock/clock.ts";
import { storeErrors } from "../errors/store-errors.ts";
import { eventually } from "../testing/eventually.ts";
import { type EventBus, FencedError, type Subscription } from "./event-bus.ts";
import type { EventRecord, Fence } from "../service/event-record.ts";
import type { Topic } from "./topics.ts";

/** A bus of one process, as the implementation under test makes it. */
export type TestBus = EventBus & Component;

/** What a bus in a test is told. */
export interface TestBusConfig {
  readonly instance: string;
  readonly topics: readonly Topic[];
}

/** A real server of the bus. */
export interface TestBusServer extends AsyncDisposable {
  createBus(config: TestBusConfig): TestBus;
  /** Ends it by SIGKILL and starts it again on the same data. */
  crash(): Promise<void>;
  /** For another process: a module that exports `connectBus(connection, config)`, and what to hand to it. */
  readonly module: string;
  readonly connection: string;
}

/** What a worker process is told. */
export interface WorkerOrder {
  readonly module: string;
  readonly connection: string;
  readonly config: TestBusConfig;
  readonly topic: string;
  readonly service: string;
  /** File to which a line is appended per event, or per stored record, so that several processes have one order. */
  readonly file: string;
  readonly role: "consumer" | "relay";
  /** So long it waits after each event, in its handler, or record. */
  readonly pauseMs: number;
}

const hourMs = 3_600_000;
const happenedType = "muin.test.v1.Happened";
const unwantedType = "muin.test.v1.Other";
/** Within this, everything must have stopped. */
const stopMsMax = 10_000;
/** Processes start slowly on a busy machine. */
const inProcesses = { timeoutMs: 25_000 };
const workerFile = Bun.fileURLToPath(new URL("contract-worker.ts", import.meta.url));
let names = 0;

interface Seen {
  readonly by: string;
  readonly subject: string;
  readonly number: number;
}

/**
 * What every implementation of `EventBus` must do, seen from outside: two kinds of process, a server, and nothing of how it stores
 * records. One server for all; topics of their own for each test.
 */
export function describeEventBus(name: string, startServer: () => Promise<TestBusServer>): void {
  describe(name, () => {
    let server: TestBusServer;
    let folder: string;
    const buses = new Set<TestBus>();
    const workers = new Set<Bun.Subprocess>();

    beforeAll(async () => {
      server = await startServer();
      folder = await mkdtemp(join(tmpdir(), "muin-bus-"));
    });
    afterAll(async () => {
      for (const worker of workers) worker.kill("SIGKILL");
      await Promise.all([...buses].map((bus) => bus.stop()));
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    });

    const newBus = async (...topics: Topic[]): Promise<TestBus> => {
      const bus = server.createBus({ instance: `instance-${++names}`, topics });
      buses.add(bus);
      await bus.start();
      return bus;
    };
    const newWorkers = (role: WorkerOrder["role"], topic: Topic, service: string) => {
      const file = join(folder, `workers-${++names}`);
      const start = (pauseMs: number): Bun.Subprocess => {
        const order: WorkerOrder = {
          module: server.module,
          connection: server.connection,
          config: { instance: `worker-${++names}`, topics: [topic] },
          topic: topic.name,
          service,
          file,
          role,
          pauseMs,
        };
        const worker = Bun.spawn([process.execPath, workerFile, JSON.stringify(order)], {
          stdin: "ignore",
          stdout: "inherit",
          stderr: "inherit",
        });
        workers.add(worker);
        return worker;
      };
      const lines = async (): Promise<Seen[]> =>
        (await readFile(file, "utf8").catch(() => ""))
          .split("\n")
          .slice(0, -1)
          .map((line) => JSON.parse(line) as Seen);
      return { start, lines, file };
    };

    test("a record arrives as it was published", async () => {
      const topic = newTopic();
      const bus = await newBus(topic);
      const record: EventRecord = {
        id: "id-1",
        source: "/muin/test",
        type: happenedType,
        subject: "방문자 1",
        topic: topic.name,
        timeMs: 1_700_000_000_123,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data: new Uint8Array([0, 13, 10, 255, 128, 36]),
      };
      const got: EventRecord[] = [];
      const consumer = bus.subscribe(subscription(topic, async (event) => void got.push(event)));
      await consumer.start();
      await bus.publish([record]);
      await eventually(() => expect(got).toEqual([record]));
      await consumer.stop();
    });

    test("per key, first occurrences come in order; repeats carry the same id", async () => {
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
    });

    test("events of one key are handled one at a time, in order", async () => {
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
    });

    test("a call with very many records keeps their order", async () => {
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
    });

    test("records of other types are acknowledged unseen", async () => {
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
    });

    test("a group shares the work, and each instance of the other kind gets all", async () => {
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
    });

    test("everyInstance begins so far back as it says and is caught up after it", async () => {
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
    });

    test("a holder that is killed is succeeded; what it had not finished comes again", async () => {
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
        const states = await bus.consumerStates();
        expect(states.find(({ service }) => service === "killed")?.lag).toBe(0);
      }, inProcesses);
      expectFirstInOrder(await workers.lines(), subjects, 60);
      second.kill("SIGTERM");
      expect(await second.exited).toBe(0);
    });

    test("a holder that was paused and wakes changes nothing: first occurrences stay in order", async () => {
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
        const states = await bus.consumerStates();
        expect(states.find(({ service }) => service === "paused")?.lag).toBe(0);
      }, inProcesses);
      for (const worker of [first, second]) worker.kill("SIGTERM");
      expect(await Promise.all([first.exited, second.exited])).toEqual([0, 0]);
    });

    test("a relay that was paused and wakes can publish nothing more", async () => {
      const topic = newTopic();
      const bus = await newBus(topic);
      const stored: Seen[] = [];
      const watch: Subscription = { ...subscription(topic, recordInto(stored, "")), kind: "everyInstance" };
      const watcher = bus.subscribe(watch);
      await watcher.start();
      await watcher.caughtUp;
      const workers = newWorkers("relay", topic, "relay");
      const paused = workers.start(5);
      await eventually(() => expect(stored.length).toBeGreaterThan(10), inProcesses);
      paused.kill("SIGSTOP");
      const { promise, resolve } = Promise.withResolvers<Fence>();
      const successor = bus.leaseholder("relay", async (fence, signal) => {
        resolve(fence);
        await aborted(signal);
      });
      await successor.start();
      const fence = await promise;
      // Under the relay's own key, so that all that was stored has one order; numbers that it never reaches.
      const [begins, ends] = [1_000_001, 1_000_002];
      const sinceTakeover = (): readonly number[] => {
        const all = stored.map(({ number }) => number);
        return all.includes(begins) ? all.slice(all.indexOf(begins)) : [];
      };
      await bus.publish([event(topic, "from-relay", begins)], fence);
      await eventually(() => expect(sinceTakeover()).toEqual([begins]), inProcesses);
      paused.kill("SIGCONT");
      await eventually(
        async () => expect(await workers.lines()).toContainEqual(expect.objectContaining({ by: "fenced" })),
        { ...inProcesses, unless: () => sinceTakeover().length > 1 },
      );
      await bus.publish([event(topic, "from-relay", ends)], fence);
      await eventually(() => expect(sinceTakeover()).toContain(ends), inProcesses);
      expect(sinceTakeover()).toEqual([begins, ends]);
      paused.kill("SIGTERM");
      await paused.exited;
      await successor.stop();
      await watcher.stop();
    });

    test("an outdated fence is refused and stores nothing; a lease has one holder", async () => {
      const topic = newTopic();
      const [first, second] = [await newBus(topic), await newBus(topic)];
      const fences: Fence[] = [];
      let [holders, holdersMax] = [0, 0];
      const hold = async (fence: Fence, signal: AbortSignal): Promise<void> => {
        fences.push(fence);
        holdersMax = Math.max(holdersMax, ++holders);
        await aborted(signal);
        holders--;
      };
      const [one, other] = [first.leaseholder("one", hold), second.leaseholder("one", hold)];
      await one.start();
      await eventually(() => expect(fences).toHaveLength(1));
      await other.start();
      // Another lease that the second takes shows that it has asked for this one too, and was told no.
      const asked = Promise.withResolvers<void>();
      const free = second.leaseholder("free", (_, signal) => {
        asked.resolve();
        return aborted(signal);
      });
      await free.start();
      await asked.promise;
      expect(fences).toHaveLength(1);
      await first.publish([event(topic, "k", 0)], fences[0]);
      await one.stop();
      await eventually(() => expect(fences).toHaveLength(2));
      const old = first.publish([event(topic, "k", 1)], fences[0]);
      expect(await old.catch((error: unknown) => error)).toBeInstanceOf(FencedError);
      await second.publish([event(topic, "k", 2)], fences[1]);
      expect(fences[1]?.number).toBeGreaterThan(fences[0]?.number ?? Number.NaN);
      expect(holdersMax).toBe(1);
      await Promise.all([other.stop(), free.stop()]);
      expect(await take(second.tail(topic.name, { fromStart: true, signal: AbortSignal.timeout(30_000) }), 2)).toEqual([
        0, 2,
      ]);
    });

    test("a slow, a stuck and a stopped consumer never stop a producer", async () => {
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
      expect(performance.now() - stoppingMs).toBeLessThan(stopMsMax);
    });

    test("a consumer behind retention is marked lost and goes on with the oldest record", async () => {
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
      const handled = seen.map(({ number }) => number);
      expect(handled).toEqual(handled.toSorted((a, b) => a - b));
      await consumer.stop();
    });

    test("what keeps failing is parked, its key waits in order, and a redrive keeps the order", async () => {
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
        (await bus.listParked({ service: parking.service, pageSize: 10, pageToken: "" })).parked;
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
      expect(await bus.redrive(parking.service, "bad")).toBe(3);
      await eventually(async () => expect((await parked())[0]?.reason).toBe("Error: still not"));
      expect((await parked()).map(({ record }) => numberOf(record))).toEqual([1, 2, 3]);

      isBroken = false;
      await bus.publish([event(topic, "bad", 4)]);
      await eventually(async () => expect(await parked()).toHaveLength(4));
      expect(await bus.redrive(parking.service, undefined)).toBe(4);
      await bus.publish([event(topic, "bad", 5)]);
      await eventually(() =>
        expect(seen.filter(({ subject }) => subject === "bad").map(({ number }) => number)).toEqual(numbers(0, 6)),
      );
      expect(await parked()).toEqual([]);
      expect(await stateOf(bus, parking)).toMatchObject({ lag: 0, deadLetters: 0, lost: false });
      await consumer.stop();
    });

    test("what waits is handled together, in order; where that fails, each by itself", async () => {
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

      await bus.publish(
        numbers(0, 4).flatMap((number) => [event(topic, "bad", number), event(topic, "other", number)]),
      );
      await eventually(async () => expect(await stateOf(bus, many)).toMatchObject({ lag: 0, deadLetters: 3 }));
      await bus.publish([event(topic, "bad", 4), event(topic, "bad", 5)]);
      await eventually(async () => expect(await stateOf(bus, many)).toMatchObject({ lag: 0, deadLetters: 5 }));
      expect(seen.filter(({ subject }) => subject === "bad").map(({ number }) => number)).toEqual([0]);
      expectFirstInOrder(seen, ["good"], 40);
      expectFirstInOrder(seen, ["other"], 4);
      await consumer.stop();
    });

    test("a group that gathers handles together what comes in its pause, and a pause holds up no stop", async () => {
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
    });

    test("of a redrive that fails at one event what stands behind it goes on waiting, and so does what comes meanwhile", async () => {
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
        (await bus.listParked({ service: parking.service, pageSize: 10, pageToken: "" })).parked.map(({ record }) =>
          numberOf(record),
        );
      await bus.publish(numbers(0, 4).map((number) => event(topic, "k", number)));
      await eventually(async () => expect(await parked()).toEqual([0, 1, 2, 3]));
      broken.delete(0);
      expect(await bus.redrive(parking.service, "k")).toBe(4);
      await begun.promise;
      await bus.publish([event(topic, "k", 4)]);
      mayGoOn.resolve();
      await eventually(async () => expect(await parked()).toEqual([2, 3, 4]));
      expect(seen.map(({ number }) => number)).toEqual([0, 1]);
      broken.clear();
      expect(await bus.redrive(parking.service, "k")).toBe(3);
      await eventually(() => expect(seen.map(({ number }) => number)).toEqual(numbers(0, 5)));
      await eventually(async () => expect(await parked()).toEqual([]));
      await consumer.stop();
    });

    test("a handler that cannot work, since something it needs is away, goes on trying and parks nothing", async () => {
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
    });

    test("with skip later events of the key go on, and the dead letter is redriven alone", async () => {
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
      expect(await bus.redrive(skipping.service, undefined)).toBe(1);
      await eventually(() => expect(seen.map(({ number }) => number)).toEqual([0, 2, 3, 1]));
      await consumer.stop();
    });

    test("dead letters are listed by pages, oldest first, each once", async () => {
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
        const page = await bus.listParked({ service: failing.service, pageSize: 10, pageToken });
        listed.push(...page.parked.map(({ record }) => numberOf(record)));
        times.push(...page.parked.map(({ parkTimeMs }) => parkTimeMs));
        pageToken = page.nextPageToken;
      }
      expect(listed.toSorted((a, b) => a - b)).toEqual(numbers(0, 25));
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      for (const pageToken of ["x", "1-1", "99999999999999999999-0 forged", "0-99999999999999999999 forged"]) {
        const forged = bus.listParked({ service: failing.service, pageSize: 10, pageToken });
        expect(await forged.catch((error: unknown) => error)).toMatchObject({ code: "invalid_argument" });
      }
      await consumer.stop();
    });

    test("a replay begins a new generation with the oldest record, in order", async () => {
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
      expect(await bus.replay(replayed.service, topic.name)).toBe(2);
      await eventually(() =>
        expect(seen).toEqual([...numbers(0, 2).map((n) => [1, n]), ...numbers(0, 4).map((n) => [2, n])] as never),
      );
      expect(await stateOf(bus, replayed)).toMatchObject({ deadLetters: 0 });
      expect(await bus.replay("nobody", topic.name).catch((error: unknown) => error)).toMatchObject({
        code: "not_found",
      });
      await consumer.stop();
    });

    test("a replay is that of one consumer: another of the topic sees nothing of it", async () => {
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
      expect(await bus.replay(`replayed-${topic.name}`, topic.name)).toBe(2);
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
    });

    test("a replay in the midst of a long batch ends it, and begins anew", async () => {
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
      expect(await bus.replay(slow.service, topic.name)).toBe(2);
      await eventually(() =>
        expect(seen.filter(([generation]) => generation === 2).map(([, number]) => number)).toEqual(numbers(0, 100)),
      );
      expect(seen.filter(([generation]) => generation === 1).length).toBeLessThan(90);
      expect(await stateOf(bus, slow)).toMatchObject({ deadLetters: 0, lost: false });
      await consumer.stop();
    });

    test("an event that is given up on after a replay is not parked by the old generation: it comes again", async () => {
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
      expect(await bus.replay(failing.service, topic.name)).toBe(2);
      outcome.reject(new Error("too late"));
      await eventually(() => expect(seen).toEqual([2]));
      await eventually(async () => expect(await stateOf(bus, failing)).toMatchObject({ lag: 0, deadLetters: 0 }));
      await consumer.stop();
    });

    test("a dead letter older than retention that is handled after a replay comes again for the new generation", async () => {
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
      await bus.redrive(parking.service, "old");
      await begun.promise;
      await bus.replay(parking.service, topic.name);
      mayGoOn.resolve();
      await eventually(() => expect(seen).toEqual([1, 2]));
      await eventually(async () => expect(await stateOf(bus, parking)).toMatchObject({ deadLetters: 0 }));
      await consumer.stop();
    });

    test("a tail shows what is stored, from the start or from now on, and ends by its signal", async () => {
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
    });

    test("heartbeats are heard", async () => {
      const bus = await newBus();
      await eventually(() => expect(bus.heartbeatReceivedAt()).toBeGreaterThan(0));
      const heard = bus.heartbeatReceivedAt();
      await eventually(() => expect(bus.heartbeatReceivedAt()).toBeGreaterThan(heard));
    });

    test("the server is killed under load: nothing acknowledged is lost, all go on by themselves", async () => {
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
    });
  });
}

function newTopic(retentionMs = hourMs): Topic {
  return { name: `test.topic-${++names}`, retentionMs };
}

/** Publishes records of a type that nobody wants under the subject, until retention has removed its first record. */
async function publishUntilRemoved(bus: EventBus, topic: Topic, subject: string): Promise<void> {
  // Retention removes whole pieces of what is stored.
  await eventually(
    async () => {
      await bus.publish(numbers(1, 500).map((number) => event(topic, subject, number, unwantedType)));
      const [oldest] = await take(bus.tail(topic.name, { fromStart: true, signal: AbortSignal.timeout(5000) }), 1);
      expect(oldest).toBeGreaterThan(0);
    },
    { timeoutMs: 30_000 },
  );
}

/** Resolves when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

function event(topic: Topic, subject: string, number: number, type = happenedType): EventRecord {
  return {
    id: `${subject}-${number}`,
    source: "/muin/test",
    type,
    subject,
    topic: topic.name,
    timeMs: 1,
    traceparent: "",
    data: new TextEncoder().encode(String(number)),
  };
}

function numberOf(record: EventRecord): number {
  return Number(new TextDecoder().decode(record.data));
}

function subscription(topic: Topic, handle: Subscription["handle"], service = `service-${++names}`): Subscription {
  return {
    service,
    topic: topic.name,
    types: [happenedType],
    kind: "group",
    onFailure: "parkKey",
    backMs: 0,
    attemptsMax: 3,
    handle,
  };
}

/** Throws when the second event of the subject "bad" is among the records. */
function refuseOne(records: readonly EventRecord[]): void {
  const isAmong = records.some((record) => record.subject === "bad" && numberOf(record) === 1);
  if (isAmong) throw new Error("cannot do this one");
}

function recordInto(seen: Seen[], by: string): Subscription["handle"] {
  return (record) => {
    seen.push({ by, subject: record.subject, number: numberOf(record) });
    return Promise.resolve();
  };
}

async function stateOf(bus: EventBus, { service }: Subscription) {
  const state = (await bus.consumerStates()).find((one) => one.service === service);
  if (state === undefined) throw new Error(`${service} has no state yet`);
  return state;
}

/** Numbers of the first `count` records; ends the iteration. */
async function take(records: AsyncIterable<EventRecord>, count: number): Promise<number[]> {
  const taken: number[] = [];
  for await (const record of records) {
    taken.push(numberOf(record));
    if (taken.length === count) break;
  }
  return taken;
}

/** Of each subject every number below `count` was seen, for the first time in order; repeats do not matter. */
function expectFirstInOrder(seen: readonly Seen[], subjects: readonly string[], count: number): void {
  const firsts = new Map<string, number[]>(subjects.map((subject) => [subject, []]));
  const known = new Set<string>();
  for (const { subject, number } of seen) {
    const key = `${subject} ${number}`;
    if (!known.has(key)) firsts.get(subject)?.push(number);
    known.add(key);
  }
  expect(Object.fromEntries(firsts)).toEqual(Object.fromEntries(subjects.map((key) => [key, numbers(0, count)])));
}
