import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** A time to the minute, in UTC, such as "2026-12-01 09:30Z"; `absent` where there is none. */
export function minuteText(time: Timestamp | undefined, absent = ""): string {
  return time === undefined ? absent : `${timestampDate(time).toISOString().slice(0, 16).replace("T", " ")}Z`;
}

/** A time to the millisecond, in UTC, as RFC 3339; empty where there is none. */
export function instantText(time: Timestamp | undefined): string {
  return time === undefined ? "" : timestampDate(time).toISOString();
}
