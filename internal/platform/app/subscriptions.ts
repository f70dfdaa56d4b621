import { fromBinary } from "@bufbuild/protobuf";
import type { BusDelivery, EventRecord, Subscription } from "../events/event-bus.ts";
import { once } from "../events/inbox.ts";
import { topicOf } from "../events/topics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import type { Consumption, Delivery, Handled, ServiceInfo } from "./define-service.ts";

/**
 * What a service subscribes to: its consumed messages of one topic and kind share a subscription, so that their order holds
 * across message types.
 */
export function subscriptionsOf(
  info: ServiceInfo,
  handled: readonly Handled[],
  tracing: Tracing,
): readonly Subscription[] {
  const bySubscription = new Map<string, { consumption: Consumption; topic: string; handlers: Map<string, Handled> }>();
  for (const [index, consumption] of info.consumes.entries()) {
    const topic = topicOf(consumption.schema);
    const key = `${topic} ${consumption.kind}`;
    const handler = handled[index];
    if (handler === undefined) continue; // `checkParts` has refused it.
    const known = bySubscription.get(key);
    if (known === undefined) {
      bySubscription.set(key, { consumption, topic, handlers: new Map([[consumption.schema.typeName, handler]]) });
    } else {
      known.handlers.set(consumption.schema.typeName, handler);
    }
  }
  return [...bySubscription.values()].map(({ consumption, topic, handlers }) => ({
    service: info.name,
    topic,
    types: [...handlers.keys()],
    kind: consumption.kind,
    onFailure: consumption.onFailure,
    backMs: consumption.backMs,
    attemptsMax: consumption.attemptsMax,
    handle: async (record, delivery) => {
      const handler = handlers.get(record.type);
      if (handler === undefined) return; // Not among `types`.
      const span = tracing.startSpan({ name: `${topic} process`, kind: "consumer", parent: record.traceparent });
      try {
        await span.run(() =>
          handler.handle(fromBinary(handler.schema, record.data), deliveryOf(info, topic, record, delivery)),
        );
        span.end();
      } catch (error) {
        span.end(error instanceof Error ? error.name : "unknown");
        throw error;
      }
    },
  }));
}

function deliveryOf(info: ServiceInfo, topic: string, record: EventRecord, delivery: BusDelivery): Delivery {
  return {
    record,
    attempt: delivery.attempt,
    signal: delivery.signal,
    once: (database, effect) =>
      once(
        database,
        { consumer: `${info.name}/${topic}`, generation: delivery.generation, eventId: record.id },
        effect,
      ),
  };
}
