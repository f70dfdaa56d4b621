import { durationFromMs, timestampFromMs, timestampMs, type Duration, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { EntryVerdict, type BranchService } from "../../../gen/muin/identity/v1/branch_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { zoneNamed } from "../../../platform/clock/zones.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { fieldInvalid } from "../../../platform/resource/errors.ts";
import { judgeEntry } from "../../../shared/hours/entry-rules.ts";
import { openSpans, openStateAt, type OpenState } from "../../../shared/hours/opening-hours.ts";
import { toBranch } from "../branch/content.ts";
import type { BranchRules } from "../branch/rules.ts";
import type { StoredBranch } from "../branch/store.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";

const dayMs = 86_400_000;
/** How long a stretch ListOpenPeriods looks at when the caller names no end, and at most. */
const stretchMsDefault = 7 * dayMs;
const stretchMsMax = 92 * dayMs;

/** Tells when branches are open, and whom they would let in. */
export function createHoursHandlers(deps: {
  readonly branches: Pick<BranchRules, "get">;
  readonly clock: Pick<Clock, "now">;
}): Pick<ServiceImpl<typeof BranchService>, "getOpenState" | "listOpenPeriods" | "tryEntryRules"> {
  const { branches, clock } = deps;
  const momentOf = (time: Timestamp | undefined): number => (time === undefined ? clock.now() : timestampMs(time));

  return {
    getOpenState: async ({ branchId, time }, context) => {
      const branch = orThrow(await branches.get(callerOf(context), branchId, "see"));
      const atMs = momentOf(time);
      const { open, sinceMs, untilMs } = stateOf(branch, atMs);
      const offsetAt = offsetsOf(branch);
      return {
        open,
        time: timestampFromMs(atMs),
        timeUtcOffset: offsetAt(atMs),
        ...(sinceMs === undefined ? {} : { sinceTime: timestampFromMs(sinceMs), sinceUtcOffset: offsetAt(sinceMs) }),
        ...(untilMs === undefined ? {} : { untilTime: timestampFromMs(untilMs), untilUtcOffset: offsetAt(untilMs) }),
      };
    },

    listOpenPeriods: async ({ branchId, fromTime, toTime }, context) => {
      const branch = orThrow(await branches.get(callerOf(context), branchId, "see"));
      const fromMs = momentOf(fromTime);
      const toMs = toTime === undefined ? fromMs + stretchMsDefault : timestampMs(toTime);
      if (toMs < fromMs || toMs - fromMs > stretchMsMax) {
        throw fieldInvalid("to_time", "must be from from_time to 92 days after it");
      }
      const { openingHours, timeZone } = branch.content;
      const spans = branch.state === "CLOSED" ? [] : openSpans(openingHours, timeZone, { fromMs, toMs });
      const offsetAt = offsetsOf(branch);
      const periods = spans.map((span) => ({
        fromTime: timestampFromMs(span.fromMs),
        toTime: timestampFromMs(span.toMs),
        fromUtcOffset: offsetAt(span.fromMs),
        toUtcOffset: offsetAt(span.toMs),
      }));
      return { periods, timeZone };
    },

    tryEntryRules: async ({ branchId, time, plan, insideCount, hasPresentationAttackScore }, context) => {
      const branch = orThrow(await branches.get(callerOf(context), branchId, "see"));
      const atMs = momentOf(time);
      const membership = plan === "" ? undefined : { plan, paused: false };
      const visitor = { isStaff: false, membership, insideCount, hasPresentationAttackScore };
      return { verdict: EntryVerdict[judgeEntry(toBranch(branch), visitor, atMs)], time: timestampFromMs(atMs) };
    },
  };
}

/** A closed branch is open at no time, whatever its hours. */
function stateOf({ state, content }: StoredBranch, atMs: number): OpenState {
  if (state === "CLOSED") return { open: false, sinceMs: undefined, untilMs: undefined };
  return openStateAt(content.openingHours, content.timeZone, atMs);
}

/** By how much a branch's clock is ahead of UTC at a moment; `undefined` for a time zone that nobody knows. */
function offsetsOf({ content }: StoredBranch): (atMs: number) => Duration | undefined {
  const zone = zoneNamed(content.timeZone);
  return (atMs) => (zone === undefined ? undefined : durationFromMs(zone.offsetMsAt(atMs)));
}
