import { expect } from "bun:test";
import type { EventRecord } from "../../service/event-record.ts";
import { eventually } from "../../testing/eventually.ts";
import type { Subscription } from "../broker.ts";
import type { Topic } from "../topics.ts";
import type { Seen, TestBus } from "./bus-fixture.ts";

export const hourMs = 3_600_000;
/** Type of the events that tests want. */
export const happenedType = "muin.test.v1.Happened";
export const unwantedType = "muin.test.v1.Other";
/** Processes start slowly on a busy machine. */
export const inProcesses = { timeoutMs: 25_000 };

let names = 0;

/** A name that no other test has. */
export function newName(prefix: string): string {
  return `${prefix}-${++names}`;
}

/** A topic that no other test uses. */
export function newTopic(retentionMs = hourMs): Topic {
  return { name: newName("test.topic"), retentionMs };
}

/** Publishes records of a type that nobody wants under the subject, until retention has removed its first record. */
export async function publishUntilRemoved(bus: TestBus, topic: Topic, subject: string): Promise<void> {
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
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Whole numbers from `from` to below `to`. */
export function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

/** An event whose message is the number, and whose id names subject and number. */
export function event(topic: Topic, subject: string, number: number, type = happenedType): EventRecord {
  return {
    id: `${subject}-${number}`,
    source: "/muin/test",
    type,
    subject,
    topic: topic.name,
    timeMs: 1,
    epoch: 0,
    traceparent: "",
    data: new TextEncoder().encode(String(number)),
  };
}

/** The number in an event's message. */
export function numberOf(record: EventRecord): number {
  return Number(new TextDecoder().decode(record.data));
}

/** A consumer group's subscription to events of the wanted type, three attempts each. */
export function subscription(topic: Topic, handle: Subscription["handle"], service = newName("service")): Subscription {
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
export function refuseOne(records: readonly EventRecord[]): void {
  const isAmong = records.some((record) => record.subject === "bad" && numberOf(record) === 1);
  if (isAmong) throw new Error("cannot do this one");
}

/** A handler that notes what it gets. */
export function recordInto(seen: Seen[], by: string): Subscription["handle"] {
  return (record) => {
    seen.push({ by, subject: record.subject, number: numberOf(record) });
    return Promise.resolve();
  };
}

/** The state of the subscription's consumer group. Throws before it has one. */
export async function stateOf(bus: TestBus, { service }: Subscription) {
  const state = (await bus.consumerGroups.states()).find((one) => one.service === service);
  if (state === undefined) throw new Error(`${service} has no state yet`);
  return state;
}

/** Numbers of the first `count` records; ends the iteration. */
export async function take(records: AsyncIterable<EventRecord>, count: number): Promise<number[]> {
  const taken: number[] = [];
  for await (const record of records) {
    taken.push(numberOf(record));
    if (taken.length === count) break;
  }
  return taken;
}

/** Of each subject every number below `count` was seen, for the first time in order; repeats do not matter. */
export function expectFirstInOrder(seen: readonly Seen[], subjects: readonly string[], count: number): void {
  const firsts = new Map<string, number[]>(subjects.map((subject) => [subject, []]));
  const known = new Set<string>();
  for (const { subject, number } of seen) {
    const key = `${subject} ${number}`;
    if (!known.has(key)) firsts.get(subject)?.push(number);
    known.add(key);
  }
  expect(Object.fromEntries(firsts)).toEqual(Object.fromEntries(subjects.map((key) => [key, numbers(0, count)])));
}
