import { timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { Membership } from "../../../gen/muin/identity/v1/user_pb.ts";
import { fieldInvalid } from "../../../platform/resource/errors.ts";
import { isCurrent } from "../../../platform/resource/etag.ts";
import { etagOfPerson } from "../person/message.ts";
import { stale, type Change, type Person } from "../person/person.ts";
import { refuse } from "../errors.ts";

const timeMsMin = Date.parse("0001-01-01T00:00:00Z");
const timeMsEnd = Date.parse("9999-12-31T23:59:59.999Z") + 1;

/** Gives a membership in place of the one before. Throws FIELD_INVALID at once for one without a plan, or that ends before it begins. */
export function membershipSet({ plan, fromTime, untilTime, paused }: Membership, etag: string): Change {
  if (plan === "") throw fieldInvalid("membership.plan", "must name a plan, such as standard");
  const fromTimeMs = timeMsOf("membership.from_time", fromTime);
  const untilTimeMs = timeMsOf("membership.until_time", untilTime);
  if (fromTimeMs !== undefined && untilTimeMs !== undefined && fromTimeMs >= untilTimeMs) {
    throw fieldInvalid("membership.until_time", "must be after from_time");
  }
  const membership = { plan, fromTimeMs, untilTimeMs, paused };
  return (before) => (isCurrent(etag, etagOfPerson(before)) ? { ...before, membership } : stale(before));
}

/** Lets a membership rest. */
export const membershipPaused: Change = (before) => withPause(before, true);

/** Lets a membership go on. */
export const membershipResumed: Change = (before) => withPause(before, false);

/** Takes the membership away, if there is one. */
export const membershipEnded: Change = (before) => ({ ...before, membership: undefined });

function withPause(before: Person, paused: boolean): ReturnType<Change> {
  const { membership } = before;
  if (membership === undefined) return refuse("noMembership", { user_id: before.userId });
  return { ...before, membership: { ...membership, paused } };
}

/** A time that every form of a Timestamp can say, to the millisecond. */
function timeMsOf(field: string, time: Timestamp | undefined): number | undefined {
  const ms = time && timestampMs(time);
  if (ms !== undefined && !(ms >= timeMsMin && ms < timeMsEnd)) {
    throw fieldInvalid(field, "must be within the years 1 to 9999");
  }
  return ms;
}
