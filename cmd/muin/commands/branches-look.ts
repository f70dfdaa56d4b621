import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import { BranchSchema, BranchState, type Branch } from "../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { formatHours } from "./branches/opening-hours-text.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { everyRow } from "../pages.ts";
import { plainMessage } from "../remote/plain-message.ts";

interface ListOptions extends RemoteOptions {
  readonly owner?: string;
  readonly state?: "active" | "closed";
  readonly facility?: string;
  readonly country?: string;
  readonly locality?: string;
}

/** Registers `branches get` and `branches list`. */
export function registerBranchesLook(branches: Command, cli: Cli): void {
  const get = remote(branches.command("get <branch-id>"))
    .description("show a branch")
    .action(async (branchId: string, options: RemoteOptions) => {
      const { client } = await connect(options, cli.env);
      const { branch } = await client(BranchService).getBranch({ branchId }, { signal: cli.signal() });
      const shown = branch ?? create(BranchSchema);
      if (options.json === true) cli.output.json(plainMessage(BranchSchema, shown));
      else for (const line of linesOf(shown)) cli.output.print(line);
    });
  examples(get, "muin branches get 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55");

  const list = remote(branches.command("list"))
    .description("list branches in the order of their creation")
    .option("--owner <user-id>", "only this owner's")
    .addOption(new Option("--state <state>", "only branches in this state").choices(["active", "closed"]))
    .option("--facility <name>", "only branches that offer this")
    .option("--country <code>", "only branches in this country")
    .option("--locality <name>", "only branches in this city or district")
    .action(async (options: ListOptions) => {
      const { client } = await connect(options, cli.env);
      const service = client(BranchService);
      const signal = cli.signal();
      const filter = {
        ownerId: options.owner ?? "",
        facility: options.facility ?? "",
        countryCode: options.country ?? "",
        locality: options.locality ?? "",
        state: stateOf(options.state),
      };
      const rows: string[][] = [];
      for await (const branch of everyRow(async (page) => {
        const { branches: found, nextPageToken } = await service.listBranches({ ...filter, ...page }, { signal });
        return { rows: found, nextPageToken };
      })) {
        if (options.json === true) cli.output.json(plainMessage(BranchSchema, branch));
        else {
          rows.push([
            branch.branchId,
            branch.displayName,
            stateText(branch),
            [branch.address?.countryCode, branch.address?.locality].filter(Boolean).join(" "),
            branch.timeZone,
            branch.ownerId,
          ]);
        }
      }
      if (options.json === true) return;
      if (rows.length > 0) cli.output.table(["BRANCH", "NAME", "STATE", "PLACE", "TIME ZONE", "OWNER"], rows);
      else cli.output.note("there are no such branches");
    });
  examples(list, "muin branches list", "muin branches list --country KR --facility shower --json");
}

function stateOf(state: ListOptions["state"]): BranchState {
  if (state === undefined) return BranchState.UNSPECIFIED;
  return state === "active" ? BranchState.ACTIVE : BranchState.CLOSED;
}

function stateText({ state }: Branch): string {
  return state === BranchState.ACTIVE ? "active" : "closed";
}

/** A branch for people, one line a fact. */
function linesOf(branch: Branch): readonly string[] {
  const { address, position, openingHours, entryRules } = branch;
  const hours = openingHours === undefined ? undefined : formatHours(openingHours);
  const place = [
    ...(address?.lines ?? []),
    address?.postalCode,
    address?.locality,
    address?.region,
    address?.countryCode,
  ];
  const facts: readonly (readonly [string, string])[] = [
    ["branch", branch.branchId],
    ["name", branch.displayName],
    ["state", stateText(branch)],
    ["owner", branch.ownerId],
    ["address", place.filter(Boolean).join(", ")],
    ["position", position === undefined ? "" : `${position.latitude}, ${position.longitude}`],
    ["time zone", branch.timeZone],
    ...(hours === undefined
      ? [["hours", "always"] as const]
      : [
          ...hours.weekly.map((line) => ["hours", line] as const),
          ...hours.exceptions.map((line) => ["exception", line] as const),
          ...hours.yearly.map((line) => ["every year", line] as const),
        ]),
    ["facilities", branch.facilities.join(", ")],
    ...branch.equipment.map(
      (one) => ["equipment", `${one.quantity} ${one.displayName === "" ? one.equipmentId : one.displayName}`] as const,
    ),
    ["plans", entryRules?.plans.map(({ plan }) => plan).join(", ") ?? ""],
    ["capacity", (entryRules?.capacityMax ?? 0) === 0 ? "" : String(entryRules?.capacityMax)],
    ["etag", branch.etag],
  ];
  return facts.filter(([, value]) => value !== "").map(([name, value]) => `${name.padEnd(11)} ${value}`);
}
