import { fromBinary } from "@bufbuild/protobuf";
import { RepublishRequestedSchema } from "../../gen/muin/platform/v1/republish_events_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Subscription } from "../events/broker.ts";
import { isOnOwnTopic, topicOf } from "../events/topics.ts";
import type { Logger } from "../telemetry/logger.ts";

/** An asker is obeyed about one topic at most so often, in milliseconds. */
const obeyEveryMs = 60_000;
/** Clocks of two machines may differ by so much, in milliseconds: a request that is older than that and than what was told since is done with. */
const skewMsMax = 300_000;

/**
 * What a service subscribes to so that others can ask it for its state again: the requests of each of `askers`, services. Each is obeyed
 * about one topic at most once a minute by one process; a request that comes sooner waits, and what was told meanwhile answers older ones.
 */
export function republishSubscriptions(options: {
  readonly service: string;
  readonly askers: readonly string[];
  /** What can be told again, of each topic. */
  readonly republishers: readonly { readonly topic: string; republish(): Promise<number> }[];
  readonly clock: Clock;
  readonly log: Logger;
}): readonly Subscription[] {
  const { service, askers, republishers, clock, log } = options;
  const obeyed = new Map<string, { readonly startMs: number; readonly startMonotonicMs: number }>();

  const obey = async (asker: string, topic: string, timeMs: number, signal: AbortSignal): Promise<void> => {
    const asked = republishers.filter((republisher) => republisher.topic === topic);
    if (asked.length === 0) return;
    const key = `${asker} ${topic}`;
    const before = obeyed.get(key);
    if (before !== undefined) {
      if (timeMs < before.startMs - skewMsMax) return;
      const restMs = before.startMonotonicMs + obeyEveryMs - clock.monotonic();
      if (restMs > 0) await clock.sleep(restMs, signal);
    }
    obeyed.set(key, { startMs: clock.now(), startMonotonicMs: clock.monotonic() });
    let republished = 0;
    for (const republisher of asked) republished += await republisher.republish();
    log.info("told the state of a topic again", { asker, topic, republished });
  };

  return askers.map((asker) => {
    const topic = topicOf(RepublishRequestedSchema, asker);
    return {
      service,
      topic,
      types: [RepublishRequestedSchema.typeName],
      kind: "group",
      onFailure: "skip",
      backMs: 0,
      attemptsMax: 8,
      handle: async ({ data, timeMs }, { signal }) => {
        const request = fromBinary(RepublishRequestedSchema, data);
        if (!isOnOwnTopic(RepublishRequestedSchema, request, topic)) throw new Error(`${topic} names another service`);
        await obey(asker, request.topic, timeMs, signal);
      },
    };
  });
}
