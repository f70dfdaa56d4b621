import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { HeartbeatSchema } from "../../gen/muin/platform/v1/heartbeat_events_pb.ts";
import { type Component, createGroup } from "../lifecycle/component.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { type EventBus, FencedError } from "./event-bus.ts";
import { createRecord, type Topic, topicOf } from "./topics.ts";

const heartbeatMs = 500;

/** The topic of heartbeats. One says something for seconds; a week of them would be 1.2 million records. */
export const heartbeatTopic: Topic = { name: topicOf(HeartbeatSchema), retentionMs: 60_000 };

/** The heartbeat of a bus. */
export interface Heartbeat extends Component {
  /** As `EventBus.heartbeatReceivedAt`. */
  receivedAt(): number;
}

/** Sends a heartbeat every 500 ms, in one process of all, and follows it in each. */
export function createHeartbeat(
  bus: Pick<EventBus, "publish" | "subscribe" | "leaseholder">,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Heartbeat {
  const context = { source: "/muin/platform", clock, random, traceparent: "" };
  let receivedAtMs = Number.NEGATIVE_INFINITY;

  const sender = bus.leaseholder("heartbeat", async (fence, signal) => {
    while (!signal.aborted) {
      const sentMs = clock.monotonic();
      const message = create(HeartbeatSchema, { sender: "bus", time: timestampFromMs(clock.now()) });
      try {
        await bus.publish([createRecord(HeartbeatSchema, message, context)], fence);
      } catch (error) {
        if (error instanceof FencedError) return;
        // The server is away: the missing heartbeat says so to everybody.
      }
      const restMs = Math.max(0, heartbeatMs - (clock.monotonic() - sentMs));
      await clock.sleep(restMs, signal).catch(() => undefined); // Ends the loop.
    }
  });
  const listener = bus.subscribe({
    service: "platform",
    topic: heartbeatTopic.name,
    types: [HeartbeatSchema.typeName],
    kind: "everyInstance",
    onFailure: "skip",
    backMs: 0,
    attemptsMax: 1,
    handle: () => {
      receivedAtMs = clock.monotonic();
      return Promise.resolve();
    },
  });
  return { ...createGroup("heartbeat", [sender, listener]), receivedAt: () => receivedAtMs };
}
