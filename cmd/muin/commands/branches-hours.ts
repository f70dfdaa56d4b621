import { timestampDate, timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { JsonValue } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  BranchService,
  EntryVerdict,
  GetOpenStateResponseSchema,
  ListOpenPeriodsResponseSchema,
} from "../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import { readJson } from "../terminal/json-input.ts";
import { formatHours, parseHours, type HoursText } from "./branches/opening-hours-text.ts";
import { examples, remote, type RemoteOptions, several, wholeNumber } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

interface HoursOptions extends RemoteOptions {
  readonly weekly?: readonly string[];
  readonly except?: readonly string[];
  readonly yearly?: readonly string[];
  readonly always?: boolean;
  readonly from?: string;
  readonly etag?: string;
}

interface OpenOptions extends RemoteOptions {
  readonly at?: Date;
  readonly days: number;
}

interface TryOptions extends RemoteOptions {
  readonly at?: Date;
  readonly plan?: string;
  readonly inside?: number;
  readonly score?: boolean;
}

const dayMs = 86_400_000;

/** What a file of opening hours may hold; time_zone is for people. */
const knownFields: ReadonlySet<string> = new Set(["time_zone", "always", "weekly", "exceptions", "yearly"]);

/** Registers `branches hours`, `branches open` and `branches try`. */
export function registerBranchesHours(branches: Command, cli: Cli): void {
  registerHours(branches, cli);
  registerOpen(branches, cli);
  registerTry(branches, cli);
}

function registerHours(branches: Command, cli: Cli): void {
  const command = remote(branches.command("hours <branch-id>"))
    .description("show when a branch is open, or say it anew: what is given replaces all its hours")
    .option(
      "--weekly <hours>",
      'such as "mon-fri 06:00-24:00" or "sat 22:00-06:00"; may be given several times',
      several,
    )
    .option("--except <hours>", 'such as "2026-12-31 08:00-12:00 New Year\'s Eve"; may be given several times', several)
    .option("--yearly <hours>", 'such as "2026-12-25 closed Christmas"; may be given several times', several)
    .option("--always", "open always")
    .option("--from <file>", 'the same as JSON, as "branches hours --json" prints it; "-" for standard input')
    .option("--etag <etag>", "only if the branch is as it was when it had this etag")
    .action(async (branchId: string, options: HoursOptions) => {
      const given = await hoursOf(options, cli);
      const service = (await connect(options, cli.env)).client(BranchService);
      const call = { signal: cli.signal() };
      const { branch } =
        given === undefined
          ? await service.getBranch({ branchId }, call)
          : await service.updateBranch(
              {
                branch: {
                  branchId,
                  etag: options.etag ?? "",
                  ...(given === "always" ? {} : { openingHours: parseHours(given) }),
                },
                updateMask: { paths: ["opening_hours"] },
              },
              call,
            );
      const hours = branch?.openingHours === undefined ? undefined : formatHours(branch.openingHours);
      if (options.json === true) {
        cli.output.json({ time_zone: branch?.timeZone ?? "", ...(hours === undefined ? { always: true } : hours) });
      } else if (hours === undefined) cli.output.print("always");
      else {
        for (const line of [...hours.weekly, ...hours.exceptions]) cli.output.print(line);
        for (const line of hours.yearly) cli.output.print(`${line} (every year)`);
      }
    });
  examples(
    command,
    'muin branches hours 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --weekly "mon-fri 06:00-24:00" --weekly "sat-sun 24h" --yearly "2026-12-25 closed Christmas"',
    "muin branches hours 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --json",
  );
}

/** What was given of the hours; `undefined` for nothing. */
async function hoursOf(options: HoursOptions, cli: Cli): Promise<HoursText | "always" | undefined> {
  const { weekly, except, yearly } = options;
  const lines = weekly !== undefined || except !== undefined || yearly !== undefined;
  if ([lines, options.always === true, options.from !== undefined].filter(Boolean).length > 1) {
    throw new Failure("usage", "give hours by --always, by --from, or by --weekly, --except and --yearly");
  }
  if (options.always === true) return "always";
  if (options.from !== undefined) return fileHoursOf(await readJson(options.from, cli), options.from);
  if (!lines) return undefined;
  return { weekly: weekly ?? [], exceptions: except ?? [], yearly: yearly ?? [] };
}

function fileHoursOf(json: JsonValue, file: string): HoursText | "always" {
  const fields: Readonly<Record<string, JsonValue>> =
    typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
  const unknown = Object.keys(fields).filter((name) => !knownFields.has(name));
  const linesOf = (name: string): readonly string[] | undefined => {
    const value = fields[name] ?? [];
    return Array.isArray(value) && value.every((line) => typeof line === "string") ? value : undefined;
  };
  const [weekly, exceptions, yearly] = ["weekly", "exceptions", "yearly"].map(linesOf);
  const isEmpty = Object.keys(fields).length === 0;
  if (unknown.length > 0 || isEmpty || weekly === undefined || exceptions === undefined || yearly === undefined) {
    throw new Failure(
      "usage",
      `${file} is not opening hours; write {"weekly": ["mon-fri 06:00-24:00"], "exceptions": [], "yearly": ["2026-12-25 closed"]}`,
    );
  }
  return fields["always"] === true ? "always" : { weekly, exceptions, yearly };
}

function registerOpen(branches: Command, cli: Cli): void {
  const command = remote(branches.command("open <branch-id>"))
    .description("say whether a branch is open, and when next")
    .option("--at <time>", "at another moment than now, such as 2026-12-25T03:00+09:00", momentOf)
    .option("--days <number>", "how far to look ahead", wholeNumber(1, 92), 7)
    .action(async (branchId: string, options: OpenOptions) => {
      const service = (await connect(options, cli.env)).client(BranchService);
      const call = { signal: cli.signal() };
      const at = timestampFromDate(options.at ?? new Date(cli.clock.now()));
      const toTime = timestampFromDate(new Date(timestampDate(at).getTime() + options.days * dayMs));
      const [state, list] = await Promise.all([
        service.getOpenState({ branchId, time: at }, call),
        service.listOpenPeriods({ branchId, fromTime: at, toTime }, call),
      ]);
      if (options.json === true) {
        const { periods, time_zone } = plainMessage(ListOpenPeriodsResponseSchema, list);
        cli.output.json({
          ...plainMessage(GetOpenStateResponseSchema, state),
          time_zone: time_zone ?? "",
          periods: periods ?? [],
        });
        return;
      }
      const textOf = (time: Timestamp | undefined): string => wallText(time, list.timeZone);
      const until = state.untilTime === undefined ? "" : ` until ${textOf(state.untilTime)}`;
      cli.output.print(`${state.open ? "open" : "closed"}${until} (${list.timeZone})`);
      const rows = list.periods.map(({ fromTime, toTime: to }) => [textOf(fromTime), textOf(to)]);
      if (rows.length > 0) cli.output.table(["OPEN FROM", "TO"], rows);
      else cli.output.note(`it does not open in the next ${options.days} days`);
    });
  examples(command, "muin branches open 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --days 14");
}

function registerTry(branches: Command, cli: Cli): void {
  const command = remote(branches.command("try <branch-id>"))
    .description("try a branch's entry rules out on a member; the door is not asked")
    .option("--plan <name>", "the member's plan (default: no membership)")
    .option("--at <time>", "at another moment than now, such as 2026-12-25T03:00+09:00", momentOf)
    .option("--inside <number>", "people inside already", wholeNumber(0, 1_000_000))
    .option("--score", "the device sent its score that the face is no picture or mask")
    .action(async (branchId: string, options: TryOptions) => {
      const service = (await connect(options, cli.env)).client(BranchService);
      const at = timestampFromDate(options.at ?? new Date(cli.clock.now()));
      const reply = await service.tryEntryRules(
        {
          branchId,
          time: at,
          plan: options.plan ?? "",
          insideCount: options.inside ?? 0,
          hasPresentationAttackScore: options.score === true,
        },
        { signal: cli.signal() },
      );
      const name = Object.entries(EntryVerdict).find(([, value]) => value === reply.verdict)?.[0] ?? "UNKNOWN";
      if (options.json === true) cli.output.json({ verdict: name, time: timestampDate(at).toISOString() });
      else cli.output.print(name.toLowerCase().replaceAll("_", " "));
    });
  examples(
    command,
    "muin branches try 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --plan standard --at 2026-12-25T03:00+09:00",
  );
}

function momentOf(text: string): Date {
  const moment = new Date(/^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:?\d{2})$/.test(text) ? text : Number.NaN);
  if (!Number.isNaN(moment.getTime())) return moment;
  throw new InvalidArgumentError("Write a moment with its offset, such as 2026-12-25T03:00+09:00.");
}

/** What the clock on the wall shows, with its offset, which tells the courses of an hour apart that it shows twice. */
function wallText(time: Timestamp | undefined, timeZone: string): string {
  if (time === undefined) return "";
  const wall = Temporal.Instant.fromEpochMilliseconds(timestampDate(time).getTime()).toZonedDateTimeISO(timeZone);
  const day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][wall.dayOfWeek - 1] ?? "";
  const seconds = { smallestUnit: "minute", timeZoneName: "never", offset: "never" } as const;
  return `${day} ${wall.toString(seconds).replace("T", " ")} ${wall.offset}`;
}
