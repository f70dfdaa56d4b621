import { timestampDate, timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";
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
    const textOf = (time: Timestamp | undefined): string => wallText(time, list.timeZone);
    const until = state.untilTime === undefined ? "" : ` until ${textOf(state.untilTime)}`;
    output.print(`${state.open ? "open" : "closed"}${until} (${list.timeZone})`);
    const rows = list.periods.map(({ fromTime, toTime }) => [textOf(fromTime), textOf(toTime)]);
    if (rows.length > 0) output.table(["OPEN FROM", "TO"], rows);
    else output.note(`it does not open in the next ${days} days`);
  },
});

/** What the clock on the wall shows, with its offset, which tells the courses of an hour apart that it shows twice. */
function wallText(time: Timestamp | undefined, timeZone: string): string {
  if (time === undefined) return "";
  const wall = Temporal.Instant.fromEpochMilliseconds(timestampDate(time).getTime()).toZonedDateTimeISO(timeZone);
  const day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][wall.dayOfWeek - 1] ?? "";
  const seconds = { smallestUnit: "minute", timeZoneName: "never", offset: "never" } as const;
  return `${day} ${wall.toString(seconds).replace("T", " ")} ${wall.offset}`;
}
