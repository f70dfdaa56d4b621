import { fromBinary, type DescMessage, type Message } from "@bufbuild/protobuf";
import type { BusDelivery, Subscription } from "../events/broker.ts";
import type { EventRecord } from "../service/event-record.ts";
import { once } from "../events/inbox.ts";
import { isOnOwnTopic, topicOf } from "../events/topics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import type { Consumption } from "../service/consumption.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { Delivery, ManyDelivery } from "../service/delivery.ts";
import type { Handled, Rebuilder } from "../service/parts.ts";
import type { Wiring } from "./wiring.ts";

/**
 * What a service subscribes to: its consumed messages of one topic and kind share a subscription, so that their order holds
 * across message types.
 */
export function subscriptionsOf(
  info: ServiceInfo,
  handled: readonly Handled[],
  { consumedTopics, tracing }: Pick<Wiring, "consumedTopics" | "tracing">,
  rebuilders: readonly Rebuilder[] = [],
): readonly Subscription[] {
  const bySubscription = new Map<string, Subscribed>();
  for (const [index, consumption] of info.consumes.entries()) {
    const handler = handled[index];
    if (handler === undefined) continue; // `checkParts` has refused it.
    for (const topic of consumedTopics(consumption)) {
      const key = `${topic} ${consumption.kind}`;
      const subscribed = bySubscription.get(key) ?? { consumption, topic, handlers: new Map<string, Handled>() };
      subscribed.handlers.set(consumption.schema.typeName, handler);
      bySubscription.set(key, subscribed);
    }
  }
  return [...bySubscription.values()].map((subscribed) => subscriptionOf(info, subscribed, { tracing, rebuilders }));
}

/** Consumed messages of one topic and kind. */
interface Subscribed {
  readonly consumption: Consumption;
  readonly topic: string;
  /** By the full name of the message. */
  readonly handlers: Map<string, Handled>;
}

function subscriptionOf(
  info: ServiceInfo,
  { consumption, topic, handlers }: Subscribed,
  { tracing, rebuilders }: { readonly tracing: Tracing; readonly rebuilders: readonly Rebuilder[] },
): Subscription {
  const own = rebuilders.filter(({ schemas }) => schemas.some(({ typeName }) => handlers.has(typeName)));
  const traced = tracedBy(tracing, `${topic} process`);
  const subscription: Subscription = {
    service: info.name,
    topic,
    types: [...handlers.keys()],
    kind: consumption.kind,
    onFailure: consumption.onFailure,
    backMs: consumption.backMs,
    attemptsMax: consumption.attemptsMax,
    ...(consumption.kind === "group"
      ? {}
      : {
          onTrimmed: async () => {
            for (const { rebuild } of own) await rebuild();
          },
        }),
    handle: async (record, delivery) => {
      const handler = handlers.get(record.type);
      if (handler === undefined) return; // Not among `types`.
      await traced(record.traceparent, () =>
        handler.handle(messageOf(handler.schema, topic, record), deliveryOf(info, topic, record, delivery)),
      );
    },
  };
  // Events of several types stay one by one: their order holds across the types.
  const [handler, ...others] = handlers.values();
  const many = handler?.many;
  if (handler === undefined || many === undefined) return subscription;
  // What is read from bytes alone says not of which service it is: `topicOf` throws for a message that needs to.
  topicOf(handler.schema);
  if (others.length > 0) return subscription;
  return {
    ...subscription,
    gatherMs: consumption.gatherMs,
    handleTogether: (records, delivery) =>
      traced(undefined, () => {
        const received = records.map((record) => ({
          epoch: record.epoch,
          event: many.read(record.data),
        }));
        return many.handle(
          received.map(({ event }) => event),
          manyDeliveryOf(received, delivery),
        );
      }),
  };
}

/** The message of an event. Throws for one that is told in the name of another service than the one whose topic it is. */
function messageOf(schema: DescMessage, topic: string, { data }: EventRecord): Message {
  const message = fromBinary(schema, data);
  if (isOnOwnTopic(schema, message, topic)) return message;
  throw new Error(`${schema.typeName} on ${topic} says that it is of another service`);
}

/** Runs work in a span of its own, which ends with the name of the error when it rejects. */
function tracedBy(tracing: Tracing, name: string) {
  return async (parent: string | undefined, work: () => Promise<void>): Promise<void> => {
    const span = tracing.startSpan({ name, kind: "consumer", parent });
    try {
      await span.run(work);
      span.end();
    } catch (error) {
      span.end(error instanceof Error ? error.name : "unknown");
      throw error;
    }
  };
}

function deliveryOf(info: ServiceInfo, topic: string, record: EventRecord, delivery: BusDelivery): Delivery {
  const { generation, attempt, signal } = delivery;
  const key = { consumer: `${info.name}/${topic}`, generation, eventId: record.id };
  return { record, attempt, signal, once: (database, effect) => once(database, key, effect) };
}

function manyDeliveryOf(
  received: readonly { readonly epoch: number; readonly event: object }[],
  { signal }: BusDelivery,
): ManyDelivery {
  const epochs = new Map(received.map(({ event, epoch }) => [event, epoch]));
  return { signal, epochOf: (event) => epochs.get(event) ?? 0 };
}
