import { expect } from "bun:test";
import { EventRefusedError, type EventRecord } from "../../service/event-record.ts";
import type { ContractTests, TestBus } from "./bus-fixture.ts";
import { event, newTopic, numberOf } from "./contract-fixture.ts";

/** What a publish of the records ends with. */
function outcomeOf(bus: TestBus, ...records: readonly EventRecord[]): Promise<unknown> {
  return bus.publish(records).then(
    () => "published",
    (error: unknown) => error,
  );
}

/** What is refused for itself, and what is not. */
export const refusalTests: ContractTests = {
  "an event of an unknown topic, or one too large, is refused for itself, and another is taken": async ({ newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    const unknown = event(newTopic(), "k", 1);
    const large = { ...event(topic, "k", 2), data: new Uint8Array((1 << 20) + 1) };
    for (const bad of [unknown, large]) {
      expect(await outcomeOf(bus, event(topic, "k", 0), bad)).toBeInstanceOf(EventRefusedError);
      expect(await outcomeOf(bus, bad)).toBeInstanceOf(EventRefusedError);
    }
    expect(await outcomeOf(bus, { ...large, id: "largest", data: new Uint8Array(1 << 20) })).toBe("published");
    expect(await outcomeOf(bus, event(topic, "k", 3))).toBe("published");
    const signal = AbortSignal.timeout(30_000);
    const stored: number[] = [];
    for await (const record of bus.tail(topic.name, { fromStart: true, signal })) {
      stored.push(numberOf(record));
      if (stored.at(-1) === 3) break;
    }
    expect(stored).not.toContainAnyValues([1, 2]);
  },

  "an event that comes while the server is away is not refused": async ({ server, newBus }) => {
    const topic = newTopic();
    const bus = await newBus(topic);
    await bus.publish([event(topic, "k", 0)]);
    const back = new AbortController();
    const crashed = server.crash().then(() => back.abort());
    const outcomes = new Set<unknown>();
    for (let number = 1; !back.signal.aborted || !outcomes.has("published"); number++) {
      const outcome = await outcomeOf(bus, event(topic, "k", number));
      outcomes.add(outcome === "published" ? outcome : outcome instanceof EventRefusedError ? "refused" : "away");
      await new Promise((resolve) => void setImmediate(resolve)); // A rejection can come before the server's process is seen to end.
    }
    await crashed;
    expect(outcomes).toEqual(new Set(["away", "published"]));
  },
};
