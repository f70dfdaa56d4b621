import { durationMs, timestampFromDate, timestampMs, type Duration, type Timestamp } from "@bufbuild/protobuf/wkt";
import {
  BranchService,
  GetOpenStateResponseSchema,
  ListOpenPeriodsResponseSchema,
} from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { plainMessage } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { wholeNumber } from "../../terminal/values.ts";
import { branchArgument } from "./branch-argument.ts";
import { atOption } from "./moment.ts";

const dayMs = 86_400_000;

/** `muin branches open`. */
export const open = remoteCommand({
  name: "open",
  description: "say whether a branch is open, and when next",
  arguments: { branchId: branchArgument },
  options: {
    at: atOption,
    days: { value: "number", help: "how far to look ahead", parse: wholeNumber(1, 92), default: 7 },
  },
  examples: ["muin branches open 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --days 14"],
  call: async ({ branchId, at, days }, { client, clock }) => {
    const service = client(BranchService);
    const from = at ?? new Date(clock.now());
    const time = timestampFromDate(from);
    const toTime = timestampFromDate(new Date(from.getTime() + days * dayMs));
    const [state, list] = await Promise.all([
      service.getOpenState({ branchId, time }),
      service.listOpenPeriods({ branchId, fromTime: time, toTime }),
    ]);
    return { state, list };
  },
  json: ({ state, list }) => {
    const { periods, time_zone } = plainMessage(ListOpenPeriodsResponseSchema, list);
    return { ...plainMessage(GetOpenStateResponseSchema, state), time_zone, periods };
  },
  print: ({ state, list }, output, { days }) => {
    const until = state.untilTime === undefined ? "" : ` until ${wallText(state.untilTime, state.untilUtcOffset)}`;
    output.print(`${state.open ? "open" : "closed"}${until} (${list.timeZone})`);
    const rows = list.periods.map(({ fromTime, fromUtcOffset, toTime, toUtcOffset }) => [
      wallText(fromTime, fromUtcOffset),
      wallText(toTime, toUtcOffset),
    ]);
    if (rows.length > 0) output.table(["OPEN FROM", "TO"], rows);
    else output.note(`it does not open in the next ${days} days`);
  },
});

/** What the clock on the wall shows, by the offset that the server gave, which tells the courses of an hour apart that it shows twice. */
function wallText(time: Timestamp | undefined, offset: Duration | undefined): string {
  if (time === undefined) return "";
  const minutes = offset === undefined ? 0 : Math.round(durationMs(offset) / 60_000);
  const wall = new Date(timestampMs(time) + minutes * 60_000);
  const day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][wall.getUTCDay()] ?? "";
  const offsetText = `${minutes < 0 ? "-" : "+"}${twoDigits(minutes / 60)}:${twoDigits(minutes % 60)}`;
  return `${day} ${wall.toISOString().slice(0, 16).replace("T", " ")} ${offsetText}`;
}

function twoDigits(value: number): string {
  return `${Math.trunc(Math.abs(value))}`.padStart(2, "0");
}
