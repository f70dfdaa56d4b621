import { expect } from "bun:test";
import { FencedError, type LeaseTerm } from "../../lease/leases.ts";
import { eventually } from "../../testing/eventually.ts";
import type { Subscription } from "../broker.ts";
import { newTopic, aborted, event, subscription, recordInto, take, inProcesses } from "./contract-fixture.ts";
import type { ContractTests, Seen } from "./bus-fixture.ts";

/** What is published in a lease term. */
export const termTests: ContractTests = {
  "a relay that was paused and wakes can publish nothing more": async ({ server, newBus, newWorkers }) => {
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
    const { promise, resolve } = Promise.withResolvers<LeaseTerm>();
    const successor = bus.leases.leaseholder("relay", async (term, signal) => {
      resolve(term);
      await aborted(signal);
    });
    await successor.start();
    const term = await promise;
    // Under the relay's own key, so that all that was stored has one order; numbers that it never reaches.
    const [begins, ends] = [1_000_001, 1_000_002];
    const sinceTakeover = (): readonly number[] => {
      const all = stored.map(({ number }) => number);
      return all.includes(begins) ? all.slice(all.indexOf(begins)) : [];
    };
    await bus.publish([event(topic, "from-relay", begins)], term);
    await eventually(() => expect(sinceTakeover()).toEqual([begins]), inProcesses);
    paused.kill("SIGCONT");
    await eventually(
      async () => expect(await workers.lines()).toContainEqual(expect.objectContaining({ by: "fenced" })),
      { ...inProcesses, unless: () => sinceTakeover().length > 1 + server.lateCallsMax },
    );
    await bus.publish([event(topic, "from-relay", ends)], term);
    await eventually(() => expect(sinceTakeover()).toContain(ends), inProcesses);
    expect([sinceTakeover().at(0), sinceTakeover().at(-1)]).toEqual([begins, ends]);
    expect(sinceTakeover().length).toBeLessThanOrEqual(2 + server.lateCallsMax);
    paused.kill("SIGTERM");
    await paused.exited;
    await successor.stop();
    await watcher.stop();
  },

  "an old lease term is refused and stores nothing; a lease has one holder": async ({ newBus }) => {
    const topic = newTopic();
    const [first, second] = [await newBus(topic), await newBus(topic)];
    const terms: LeaseTerm[] = [];
    let [holders, holdersMax] = [0, 0];
    const hold = async (term: LeaseTerm, signal: AbortSignal): Promise<void> => {
      terms.push(term);
      holdersMax = Math.max(holdersMax, ++holders);
      await aborted(signal);
      holders--;
    };
    const [one, other] = [first.leases.leaseholder("one", hold), second.leases.leaseholder("one", hold)];
    await one.start();
    await eventually(() => expect(terms).toHaveLength(1));
    await other.start();
    // Another lease that the second takes shows that it has asked for this one too, and was told no.
    const asked = Promise.withResolvers<void>();
    const free = second.leases.leaseholder("free", (_, signal) => {
      asked.resolve();
      return aborted(signal);
    });
    await free.start();
    await asked.promise;
    expect(terms).toHaveLength(1);
    await first.publish([event(topic, "k", 0)], terms[0]);
    await one.stop();
    await eventually(() => expect(terms).toHaveLength(2));
    const old = first.publish([event(topic, "k", 1)], terms[0]);
    expect(await old.catch((error: unknown) => error)).toBeInstanceOf(FencedError);
    await second.publish([event(topic, "k", 2)], terms[1]);
    expect(terms[1]?.number).toBeGreaterThan(terms[0]?.number ?? Number.NaN);
    expect(holdersMax).toBe(1);
    await Promise.all([other.stop(), free.stop()]);
    expect(await take(second.tail(topic.name, { fromStart: true, signal: AbortSignal.timeout(30_000) }), 2)).toEqual([
      0, 2,
    ]);
  },
};
