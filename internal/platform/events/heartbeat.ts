import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { HeartbeatSchema } from "../../gen/muin/platform/v1/heartbeat_events_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { FencedError, type Leases } from "../lease/leases.ts";
import { type Component, createSequence } from "../lifecycle/component.ts";
import type { Broker } from "./broker.ts";
import { createRecord, type Topic, topicOf } from "./topics.ts";

/** From one heartbeat to the next, in milliseconds. */
const heartbeatMs = 500;

/** The topic of heartbeats. One says something for seconds; a week of them would be 1.2 million event records. */
export const heartbeatTopic: Topic = { name: topicOf(HeartbeatSchema), retentionMs: 60_000 };

/** The lease of who sends them, of any service. */
export const heartbeatLease = "heartbeat";

/** The heartbeat of a broker. */
export interface Heartbeat extends Component {
  /** As `Broker.heartbeatReceivedAt`. */
  receivedAt(): number;
}

/** Sends a heartbeat every 500 ms, in one process of all, and follows it in each. */
export function createHeartbeat(options: {
  readonly broker: Pick<Broker, "publish" | "subscribe">;
  readonly leases: Pick<Leases, "leaseholder">;
  readonly clock: Clock;
  readonly random: Random;
}): Heartbeat {
  const { broker, leases, clock, random } = options;
  const context = { source: "/muin/platform", clock, random, traceparent: "" };
  let receivedAtMs = Number.NEGATIVE_INFINITY;

  const sender = leases.leaseholder(heartbeatLease, async (term, signal) => {
    while (!signal.aborted) {
      const sentMs = clock.monotonic();
      const message = create(HeartbeatSchema, { sender: "bus", time: timestampFromMs(clock.now()) });
      try {
        await broker.publish([createRecord(HeartbeatSchema, message, context)], term);
      } catch (error) {
        if (error instanceof FencedError) return;
        // The server is away: the missing heartbeat says so to everybody.
      }
      const restMs = Math.max(0, heartbeatMs - (clock.monotonic() - sentMs));
      await clock.sleep(restMs, signal).catch(() => undefined); // Ends the loop.
    }
  });
  const listener = broker.subscribe({
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
  return { ...createSequence("heartbeat", [sender, listener]), receivedAt: () => receivedAtMs };
}
