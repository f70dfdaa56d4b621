import type { JsonValue } from "@bufbuild/protobuf";
import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import type { Cli } from "../../cli.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import type { Given } from "../../terminal/command.ts";
import { Failure } from "../../terminal/failure.ts";
import { readJson } from "../../terminal/json-input.ts";
import { branchArgument, etagOption } from "./branch-argument.ts";
import { formatHours, parseHours, type HoursText } from "./opening-hours-text.ts";

/** What a file of opening hours may hold; time_zone is for people. */
const knownFields: ReadonlySet<string> = new Set(["time_zone", "always", "weekly", "exceptions", "yearly"]);

const hoursOptions = {
  weekly: {
    value: "hours",
    help: 'such as "mon-fri 06:00-24:00" or "sat 22:00-06:00"; may be given several times',
    many: true,
  },
  except: {
    value: "hours",
    help: 'such as "2026-12-31 08:00-12:00 New Year\'s Eve"; may be given several times',
    many: true,
  },
  yearly: { value: "hours", help: 'such as "2026-12-25 closed Christmas"; may be given several times', many: true },
  always: { help: "open always" },
  from: { value: "file", help: 'the same as JSON, as "branches hours --json" prints it; "-" for standard input' },
} as const;

/** `muin branches hours`. */
export const hours = remoteCommand({
  name: "hours",
  description: "show when a branch is open, or say it anew: what is given replaces all its hours",
  arguments: { branchId: branchArgument },
  options: {
    ...hoursOptions,
    etag: { ...etagOption, help: "only if the branch is as it was when it had this etag" },
  },
  examples: [
    'muin branches hours 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --weekly "mon-fri 06:00-24:00" --weekly "sat-sun 24h" --yearly "2026-12-25 closed Christmas"',
    "muin branches hours 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --json",
  ],
  call: async ({ branchId, etag = "", ...given }, { client, stdin }) => {
    const said = await hoursOf(given, stdin);
    const service = client(BranchService);
    if (said === undefined) return (await service.getBranch({ branchId })).branch;
    const branch = { branchId, etag, ...(said === "always" ? {} : { openingHours: parseHours(said) }) };
    return (await service.updateBranch({ branch, updateMask: { paths: ["opening_hours"] } })).branch;
  },
  json: ({ timeZone, openingHours }) => ({
    time_zone: timeZone,
    ...(openingHours === undefined ? { always: true } : formatHours(openingHours)),
  }),
  print: ({ openingHours }, output) => {
    if (openingHours === undefined) {
      output.print("always");
      return;
    }
    const { weekly, exceptions, yearly } = formatHours(openingHours);
    for (const line of [...weekly, ...exceptions]) output.print(line);
    for (const line of yearly) output.print(`${line} (every year)`);
  },
});

/** What was given of the hours; `undefined` for nothing. */
async function hoursOf(
  given: Given<unknown, typeof hoursOptions>,
  stdin: Cli["stdin"],
): Promise<HoursText | "always" | undefined> {
  const { weekly, except, yearly } = given;
  const lines = weekly !== undefined || except !== undefined || yearly !== undefined;
  if ([lines, given.always === true, given.from !== undefined].filter(Boolean).length > 1) {
    throw new Failure("usage", "give hours by --always, by --from, or by --weekly, --except and --yearly");
  }
  if (given.always === true) return "always";
  if (given.from !== undefined)
    return fileHoursOf(JSON.parse(await readJson(given.from, stdin)) as JsonValue, given.from);
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
