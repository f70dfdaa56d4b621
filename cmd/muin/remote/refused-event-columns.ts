import type { DeadLetter, ParkedEvent } from "../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { instantText } from "../terminal/time-text.ts";

/** Columns of an event that the bus, or a consumer, refused. */
export const refusedEventColumns = {
  PARKED: ({ parkTime }) => instantText(parkTime),
  SERVICE: ({ service }) => service,
  TOPIC: ({ topic }) => topic,
  KEY: ({ subject }) => subject,
  ATTEMPTS: ({ attempts }) => String(attempts),
  REASON: ({ reason }) => reason,
} satisfies Readonly<Record<string, (event: DeadLetter | ParkedEvent) => string>>;
