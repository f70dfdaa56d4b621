import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RepublishRequestedSchema } from "../../gen/muin/platform/v1/republish_events_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { EventRecord } from "../service/event-record.ts";
import { createRecord } from "./topics.ts";

/**
 * The event with which a service asks for the state of a topic again. `sinceMs`: everything before it, by the clock of the bus, is there; `undefined`: nothing
 * may be.
 */
export function republishRequest(
  service: string,
  topic: string,
  sinceMs: number | undefined,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): EventRecord {
  const message = create(RepublishRequestedSchema, {
    service,
    topic,
    time: timestampFromMs(clock.now()),
    ...(sinceMs === undefined ? {} : { since: timestampFromMs(sinceMs) }),
  });
  return createRecord(RepublishRequestedSchema, message, {
    source: `/muin/${service}`,
    clock,
    random,
    traceparent: "",
  });
}
