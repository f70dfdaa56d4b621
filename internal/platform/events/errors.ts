import { defineErrors } from "../errors/define-errors.ts";

/** What may be answered about events. */
export const eventErrors = defineErrors({
  eventTooLarge: {
    reason: "EVENT_TOO_LARGE",
    code: "invalid_argument",
    text: "the change is too large to be announced: at most {bytes_max} bytes",
  },
  eventsPartitions: {
    reason: "EVENTS_PARTITIONS",
    code: "failed_precondition",
    text: "the event store has {recorded} partitions a topic and this process is set to {given}: order per key would break; set it to {recorded}",
  },
  consumerNotFound: {
    reason: "CONSUMER_NOT_FOUND",
    code: "not_found",
    text: "service {service} never consumed topic {topic}",
  },
});
